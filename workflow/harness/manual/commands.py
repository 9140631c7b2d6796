"""The page on commands, from the parsers that read them."""

import argparse
from collections.abc import Iterator

from harness.cli import build_parser

HEAD = """\
# Commands

<!-- Written by `make docs` from workflow/harness/cli. -->

`python -m harness COMMAND`, where `EXPERIMENT` is a file or the name of one in `config/`. The exit status is
0 when all is done, 1 after a plain error, 2 after wrong usage. An option that may be repeated says so.
"""


def page() -> str:
    """Return ``docs/reference/commands.md``."""
    _, commands = build_parser()
    lines = [HEAD, "| command | what it does |", "|---|---|"]
    lines += [f"| [{name}](#{name}) | {_summary(commands[name])} |" for name in sorted(commands)]
    for name in sorted(commands):
        lines += ["", *_section(name, commands[name])]
    return "\n".join(lines) + "\n"


def _summary(parser: argparse.ArgumentParser) -> str:
    return (parser.description or "").rstrip(".")


def _section(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {name}\n\n{parser.description}\n"
    yield "<!-- parsed -->\n```console"
    yield from (f"$ {line}" for line in examples(parser))
    yield "```"
    actions = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
    if actions:
        yield "\n| argument | what it says |\n|---|---|"
        yield from (f"| `{_shape(action)}` | {_cell(action.help or '')} |" for action in actions)


def examples(parser: argparse.ArgumentParser) -> list[str]:
    """Return the commands that a command's help ends with."""
    lines = (parser.epilog or "").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("python -m harness")]


def _shape(action: argparse.Action) -> str:
    value = str(action.metavar or (",".join(map(str, action.choices)) if action.choices else action.dest))
    if not action.option_strings:
        return value if action.required else f"[{value}]"
    shape = action.option_strings[-1] + ("" if action.nargs == 0 else f" {value}")
    return f"{shape} (required)" if action.required else shape


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
