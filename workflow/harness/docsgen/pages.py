"""The generated files: reference pages on commands and configuration files, JSON schemas."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from harness.cli import build_parser
from harness.config.base import nested_models
from harness.config.key_docs import keys
from harness.docsgen.schemas import KINDS, SCHEMAS, Kind, files, header, schema
from harness.util.paths import ROOT

REFERENCE = ROOT / "docs" / "reference"
COMMANDS = """\
# Commands

<!-- Written by `make docs` from workflow/harness/cli. -->

`harness COMMAND`, where `EXPERIMENT` is a file or the name of one in `config/`. The exit status is 0 if all
is done, 1 after a plain error, 2 after wrong usage. `python -m harness COMMAND` is the same.
"""
STEPS = """
# Steps of the workflow

The rules of the workflow run `harness step STEP`. People need none of them.

| step | what it does |
|---|---|"""
CONFIGURATION = """\
# Configuration files

<!-- Written by `make docs` from the models in workflow/harness/config. -->

An unknown key is an error that names the nearest valid one. The first line of each file in `config/` names
its JSON schema (`config/schema`), with which editors complete and check keys. Arguments of methods:
`harness methods`.
"""
Parsers = dict[str, argparse.ArgumentParser]


def pages() -> dict[Path, str]:
    """Return each generated file with its content."""
    texts = {
        REFERENCE / "commands.md": commands_page(),
        REFERENCE / "configuration.md": configuration_page(),
    }
    for kind in KINDS:
        texts[SCHEMAS / f"{kind.name}.json"] = json.dumps(schema(kind), indent=1) + "\n"
        texts |= {path: _with_header(kind, path) for path in files(kind)}
    return texts


def _with_header(kind: Kind, path: Path) -> str:
    """Return a shipped file with the first line that names its schema."""
    text, line = path.read_text(encoding="utf-8"), header(kind, path)
    return text if text.startswith(f"{line}\n") else f"{line}\n{text}"


def commands_page() -> str:
    """Return ``docs/reference/commands.md``."""
    _, commands = build_parser()
    steps = subcommands(commands.pop("step"))
    lines = [COMMANDS, "| command | what it does |", "|---|---|"]
    lines += [f"| [{name}](#{name}) | {_summary(commands[name])} |" for name in sorted(commands)]
    for name in sorted(commands):
        lines += ["", *_command(name, commands[name])]
    lines.append(STEPS)
    lines += [f"| `harness step {name}` | {_summary(steps[name])} |" for name in sorted(steps)]
    return "\n".join(lines) + "\n"


def subcommands(parser: argparse.ArgumentParser) -> Parsers:
    """Return the parsers of the subcommands of ``parser`` by name."""
    choices = next(
        action.choices for action in parser._actions if action.dest == "==SUPPRESS==" or action.choices
    )
    assert isinstance(choices, dict)
    return dict(choices)


def _summary(parser: argparse.ArgumentParser) -> str:
    return (parser.description or "").rstrip(".")


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {name}\n\n{parser.description}\n"
    yield "<!-- parsed -->\n```console"
    yield from (f"$ {line}" for line in examples(parser))
    yield "```"
    actions = [action for action in parser._actions if action.dest != "help"]
    if actions:
        yield "\n| argument | meaning |\n|---|---|"
        yield from (f"| `{_usage(action)}` | {_escape(action.help or '')} |" for action in actions)


def examples(parser: argparse.ArgumentParser) -> list[str]:
    """Return the examples at the end of a command's help."""
    lines = (parser.epilog or "").splitlines()
    return [line.strip() for line in lines if line.startswith("  harness ")]


def _usage(action: argparse.Action) -> str:
    value = str(action.metavar or (",".join(map(str, action.choices)) if action.choices else action.dest))
    if not action.option_strings:
        return value if action.required else f"[{value}]"
    usage = action.option_strings[-1] + ("" if action.nargs == 0 else f" {value}")
    return f"{usage} (required)" if action.required else usage


def configuration_page() -> str:
    """Return ``docs/reference/configuration.md``."""
    return "\n".join([CONFIGURATION, *(line for kind in KINDS for line in _kind(kind))])


def _kind(kind: Kind) -> Iterator[str]:
    suffix = ", one entry per name" if kind.entries else ", written by a command" if kind.written else ""
    yield f"## {kind.name.capitalize()}: `{kind.files}`{suffix}\n"
    for number, model in enumerate(with_nested(kind.model)):
        if number:
            yield f"### {model.__name__}\n"
        yield f"{' '.join((model.__doc__ or '').split()).replace('``', '`')}\n"
        yield "| key | values | default | meaning |\n|---|---|---|---|"
        for key in keys(model):
            values, default = _escape(key.values), _escape(key.default)
            yield f"| `{key.name}` | {values} | `{default}` | {_escape(key.about)} |"
        yield ""


def with_nested(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the model and, once each, the models that its keys contain."""
    models = [model]
    for parent in models:
        for field in parent.model_fields.values():
            models += [inner for inner in nested_models(field.annotation) if inner not in models]
    return models


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
