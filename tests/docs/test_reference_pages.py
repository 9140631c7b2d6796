"""Reference pages and schemas say what the code says, and every shipped file and example keeps to them."""

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import harness.config
from harness.cli import build_parser
from harness.config.base import Strict
from harness.config.catalogue import model, task
from harness.config.key_docs import keys
from harness.config.tuned import TrialRecord
from harness.config.yaml_loader import read_yaml
from harness.docsgen.pages import examples, pages, subcommands, with_nested
from harness.docsgen.schemas import KINDS, Kind, files, schema
from harness.util.paths import ROOT

FILES = [(kind, path) for kind in KINDS for path in files(kind)]


@pytest.mark.parametrize("path", pages(), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_nothing_has_drifted(path: Path) -> None:
    assert path.is_file() and path.read_text() == pages()[path], "run `make docs`"


def validator(kind: Kind) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema(kind))
    return jsonschema.Draft202012Validator(schema(kind))


@pytest.mark.parametrize(("kind", "path"), FILES, ids=lambda value: getattr(value, "name", None))
def test_every_shipped_file_names_its_schema_and_keeps_to_it(kind: Kind, path: Path) -> None:
    named = path.parent / path.read_text().splitlines()[0].partition("$schema=")[2]
    assert json.loads(named.read_text()) == schema(kind)
    validator(kind).validate(read_yaml(path))


GOOD: dict[str, Any] = {
    "name": "x", "title": "x", "tasks": ["stsb"], "models": {"tiny": None}, "variants": ["vanilla"],
    "seeds": [1],
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"nmae": "x"},
        {"seeds": ["one"]},
        {"settings": {"epoch": 1}},
        {"tasks": {"stsb": {"learning_rate": "fast"}}},
        {"variants": {"mat": {"argument": {}}}},
        {"variants": {"mat": {"settings": {"epochs": 0}}}},
        {"tasks": ["stsb", "stsb"]},
    ],
)
def test_an_editor_sees_errors(changes: dict[str, Any]) -> None:
    check = validator(KINDS[0])
    check.validate(GOOD)
    with pytest.raises(jsonschema.ValidationError):
        check.validate({**GOOD, **changes})


def test_every_model_of_a_file_is_reported() -> None:
    """A new kind of file has to be added to ``harness/docsgen/schemas.py``."""
    for module in pkgutil.iter_modules(harness.config.__path__):
        importlib.import_module(f"harness.config.{module.name}")
    message = "\n".join(json.dumps(schema(kind)) for kind in KINDS)
    roots = {kind.model for kind in KINDS} | {base for kind in KINDS for base in kind.model.__mro__}
    for one in Strict.__subclasses__():
        if one.__module__.startswith("harness.config") and one is not TrialRecord:  # a line, not a file
            assert one in roots or f'/{one.__name__}"' in message, one


def test_every_key_is_reported_in_words() -> None:
    models = {model for kind in KINDS for model in with_nested(kind.model)}
    for one in models:
        for key in keys(one):
            assert key.values and key.about, f"{one.__name__}: {key.name}"


def test_every_example_of_a_help_text_is_a_command_with_names_that_exist() -> None:
    parser, commands = build_parser()
    steps = subcommands(commands.pop("step"))
    for name, one in [*commands.items(), *((f"step {step}", one) for step, one in steps.items())]:
        assert examples(one), f"{name} has no example"
        for line in examples(one):
            chosen = parser.parse_args(line.split()[1:])
            assert line.startswith(f"harness {name}")
            for key, look in {"task": task, "model": model}.items():
                requested = getattr(chosen, key, None) or []
                for each in requested if isinstance(requested, list) else [requested]:
                    look(each)


def test_a_command_that_is_not_there_is_reported_with_the_nearest() -> None:
    done = harness_command("tabels")
    assert done.returncode == 2 and "unknown command 'tabels'; did you mean 'tables'?" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m harness tasks --json | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "{\n" and done.stderr == ""


def harness_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("code", ["import harness", "from harness.cli import build_parser; build_parser()"])
def test_package_and_help_import_nothing_heavy(code: str) -> None:
    heavy = "{'pandas', 'torch', 'pydantic', 'yaml', 'numpy'}"
    command = [sys.executable, "-c", f"{code}; import sys; sys.exit(str({heavy} & set(sys.modules)))"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"
