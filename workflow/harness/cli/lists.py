"""``methods``, ``tasks``, ``models``: what can be asked for by name."""

import argparse
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.cli._common import (
    Commands,
    add_command,
    add_methods_dir,
    add_tasks_dir,
    method_folders,
    task_folders,
)

if TYPE_CHECKING:
    from harness.methods.interface import Method, Passes


def register(commands: Commands) -> None:
    """Declare the three commands."""
    parser = add_command(
        commands,
        "methods",
        methods,
        "list variants, and methods with their arguments, cost and source",
        "methods freelb mat\n  python -m harness methods --methods-dir mine --json",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="just these methods (default: all)")
    add_methods_dir(parser)
    _add_json(parser)
    parser = add_command(
        commands,
        "tasks",
        tasks,
        "list tasks with their rows, metrics, source and licence",
        "tasks stsb\n  python -m harness tasks --tasks-dir mine --json",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="just these tasks (default: all)")
    add_tasks_dir(parser)
    _add_json(parser)
    parser = add_command(
        commands, "models", models, "list models with their size, source and licence", "models minilm"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="just these models (default: all)")
    _add_json(parser)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def _asked(kind: str, names: list[str], known: Iterable[str]) -> list[str]:
    """Return the names that are asked for, all known ones where none is; raises HarnessError."""
    from harness.errors import HarnessError, unknown

    known = list(known)
    if wrong := [name for name in names if name not in known]:
        raise HarnessError(unknown(kind, wrong[0], known))
    return names or known


def methods(chosen: argparse.Namespace) -> None:
    """Print every variant with its note, then methods with all that they declare."""
    from harness.errors import HarnessError
    from harness.methods.registry import broken_methods, method_class, method_names
    from harness.plan import catalogue

    folders = method_folders(chosen)
    found, broken = {}, broken_methods(folders)
    for name in _asked("method", chosen.names, [*method_names(folders), *broken]):
        try:
            found[name] = method_class(name, folders)
        except HarnessError as error:
            broken.setdefault(name, str(error))
    usable = [name for name in catalogue.variant_names(folders) if name not in broken]
    variants = {name: catalogue.variant(name, folders) for name in usable}
    variants = {name: v for name, v in variants.items() if v.method in found}
    if chosen.json:
        facts = {
            "variants": {name: variant.model_dump() for name, variant in variants.items()},
            "methods": {name: _facts(kind) for name, kind in found.items()},
            "broken": broken,
        }
        print(json.dumps(facts, indent=1))
        return
    if variants:
        print("Variants (what --method and the variants of an experiment name):")
    for name, variant in variants.items():
        print(f"  {name:21} {variant.note}")
    for kind in found.values():
        _print_method(kind)
    for name, reason in broken.items():
        print(f"\n{name}: cannot be used: {reason}")


def _print_method(kind: "type[Method]") -> None:
    from harness.manual.fields import keys
    from harness.methods.search import told

    print(f"\n{kind.name}: {kind.summary}\n  {kind.citation}")
    print(f"  cost of a batch: {_formula(kind)}")
    print(f"  at the defaults: {_passes(kind.passes(kind.Arguments()))}")
    if kind.search:
        print(f"  search: {'; '.join(f'{name} {told(one)}' for name, one in kind.search.items())}")
    for key in keys(kind.Arguments):
        print(f"  {key.name:16} {key.default:12} {key.about} ({key.values})")


def _formula(kind: "type[Method]") -> str:
    return " ".join((kind.passes.__doc__ or "not told in words").split()).rstrip(".")


def _passes(passes: "Passes") -> str:
    told = [f"{count} {name.replace('_', ' ')}" for name, count in passes.as_dict().items() if count]
    return ", ".join(told)


def _facts(kind: "type[Method]") -> dict[str, Any]:
    schema = kind.Arguments.model_json_schema()["properties"]
    defaults = kind.Arguments()
    return {
        "summary": kind.summary,
        "citation": kind.citation,
        "cost": _formula(kind),
        "passes": kind.passes(defaults).as_dict(),
        "passes_of_a_regression": kind.passes(defaults, regression=True).as_dict(),
        "search": {name: one.as_json() for name, one in kind.search.items()},
        "arguments": {
            name: {k: v for k, v in facts.items() if k != "title"} for name, facts in schema.items()
        },
    }


def tasks(chosen: argparse.Namespace) -> None:
    """Print tasks."""
    from harness.plan import catalogue

    own = task_folders(chosen)
    names = _asked("task", chosen.names, sorted(catalogue.task_files(own)))
    found = {name: catalogue.task(name, own) for name in names}
    if chosen.json:
        print(json.dumps({name: task.model_dump(mode="json") for name, task in found.items()}, indent=1))
        return
    for name, task in found.items():
        rows = ", ".join(f"{split} {task.count(split) or '?'}" for split in [task.train, *task.report])
        unknown = "; rows not known yet: fetch" if task.unknown_parts() else ""
        print(f"{name}: {task.title}, {task.kind}\n  {task.citation}\n  licence: {task.licence}")
        print(f"  rows: {rows}; from {_sources(task)}{unknown}")
        print(f"  metrics: {', '.join(task.metrics)}; ranked by {task.rank}")


def _sources(task: Any) -> str:
    sources = {"a package": task.package, "the Hub": task.hub, "a data root": task.data_root}
    return " or ".join(name for name, source in sources.items() if source)


def models(chosen: argparse.Namespace) -> None:
    """Print models."""
    from harness.plan import catalogue

    names = _asked("model", chosen.names, catalogue.names("models"))
    found = {name: catalogue.model(name) for name in names}
    if chosen.json:
        print(json.dumps({name: model.model_dump(mode="json") for name, model in found.items()}, indent=1))
        return
    for name, model in found.items():
        source = "a package" if model.package else f"the Hub, {model.hub.repo}" if model.hub else ""
        unknown = "" if model.known else "; weights not known yet: fetch"
        size = f"{model.layers} layers of width {model.width}; " if model.layers and model.width else ""
        print(f"{name}: {model.title}\n  {model.citation}\n  licence: {model.licence}")
        print(f"  {size}from {source}{unknown}")
        if model.seen:
            print(f"  has seen: {', '.join(model.seen)}")
