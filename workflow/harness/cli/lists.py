"""``methods``, ``tasks``, ``models``: the names that experiments and commands can use."""

import argparse
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from harness.cli._common import Commands, add_command, add_methods_dir, add_tasks_dir, folders

if TYPE_CHECKING:
    from harness.config.task import Task
    from harness.config.variant import Variant
    from harness.methods.interface import Method, PassCount


def register(commands: Commands) -> None:
    """Declare the three commands."""
    parser = add_command(
        commands,
        "methods",
        methods,
        "list variants, and methods with their arguments, cost and source",
        "methods freelb mat",
        "methods --methods-dir mine --json",
    )
    _add_names(parser, "methods")
    add_methods_dir(parser)
    parser = add_command(
        commands,
        "tasks",
        tasks,
        "list tasks with their rows, metrics, source and licence",
        "tasks stsb",
        "tasks --tasks-dir mine --json",
    )
    _add_names(parser, "tasks")
    add_tasks_dir(parser)
    parser = add_command(
        commands, "models", models, "list models with their size, source and licence", "models minilm"
    )
    _add_names(parser, "models")


def _add_names(parser: argparse.ArgumentParser, kind: str) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these {kind} (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _selected(kind: str, names: list[str], valid: Iterable[str]) -> list[str]:
    """Return the requested names, or all valid ones.

    Raises:
        HarnessError: a name is unknown.
    """
    from harness.util.errors import HarnessError, unknown

    valid = list(valid)
    if wrong := [name for name in names if name not in valid]:
        raise HarnessError(unknown(kind, wrong[0], valid))
    return names or valid


def methods(args: argparse.Namespace) -> None:
    """Print every variant with its note, then the methods with their declarations."""
    from harness.config import catalogue
    from harness.methods.registry import broken_methods, method_class, method_names
    from harness.util.errors import HarnessError

    paths = folders(args.methods_dir)
    classes, broken = {}, broken_methods(paths)
    for name in _selected("method", args.names, [*method_names(paths), *broken]):
        try:
            classes[name] = method_class(name, paths)
        except HarnessError as error:
            broken.setdefault(name, str(error))
    usable = [name for name in catalogue.variant_names(paths) if name not in broken]
    variants = {name: catalogue.variant(name, paths) for name in usable}
    variants = {name: v for name, v in variants.items() if v.method in classes}
    if args.json:
        content = {
            "variants": {name: variant.model_dump() for name, variant in variants.items()},
            "methods": {name: _declarations(kind) for name, kind in classes.items()},
            "broken": broken,
        }
        print(json.dumps(content, indent=1))
        return
    if variants:
        print("Variants (the names for --method and for the variants of an experiment):")
    for name, variant in variants.items():
        print(f"  {name:21} {variant.note}")
        if args.names:
            for line in _variant_lines(variant):
                print(f"  {'':21} {line}")
    for kind in classes.values():
        _print_method(kind)
    for name, reason in broken.items():
        print(f"\n{name}: cannot be used: {reason}")


def _variant_lines(variant: "Variant") -> Iterator[str]:
    """Yield the arguments of a variant that differ from its method's defaults, and its source."""
    if variant.arguments:
        yield ", ".join(f"{name}={value}" for name, value in variant.arguments.items())
    if variant.epochs_times != 1:
        yield f"epochs x {variant.epochs_times}"
    yield f"source: {variant.source}"


def _print_method(kind: "type[Method]") -> None:
    from harness.config.key_docs import keys
    from harness.methods.search_space import in_words

    print(f"\n{kind.name}: {kind.summary}\n  {kind.citation}")
    print(f"  cost per batch: {_formula(kind)}")
    print(f"  with the defaults: {_passes_text(kind.passes(kind.Arguments()))}")
    if kind.search_space:
        print(
            f"  search space: {'; '.join(f'{name} {in_words(d)}' for name, d in kind.search_space.items())}"
        )
    for key in keys(kind.Arguments):
        print(f"  {key.name:16} {key.default:12} {key.about} ({key.values})")


def _formula(kind: "type[Method]") -> str:
    return " ".join((kind.passes.__doc__ or "not documented").split()).rstrip(".")


def _passes_text(passes: "PassCount") -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in passes.as_dict().items() if count)


def _declarations(kind: "type[Method]") -> dict[str, Any]:
    schema = kind.Arguments.model_json_schema()["properties"]
    defaults = kind.Arguments()
    return {
        "summary": kind.summary,
        "citation": kind.citation,
        "cost": _formula(kind),
        "passes": kind.passes(defaults).as_dict(),
        "passes_of_a_regression": kind.passes(defaults, regression=True).as_dict(),
        "search_space": {name: dimension.as_json() for name, dimension in kind.search_space.items()},
        "arguments": {
            name: {k: v for k, v in facts.items() if k != "title"} for name, facts in schema.items()
        },
    }


def tasks(args: argparse.Namespace) -> None:
    """Print tasks."""
    from harness.config import catalogue

    paths = folders(args.tasks_dir)
    names = _selected("task", args.names, sorted(catalogue.task_files(paths)))
    selected = {name: catalogue.task(name, paths) for name in names}
    if args.json:
        content = {name: task.model_dump(mode="json") for name, task in selected.items()}
        print(json.dumps(content, indent=1))
        return
    for name, task in selected.items():
        rows = ", ".join(f"{split} {task.count(split) or '?'}" for split in [task.train, *task.report])
        unknown = "; rows unknown until fetch" if task.unknown_parts() else ""
        print(f"{name}: {task.title}, {task.kind}\n  {task.citation}\n  licence: {task.licence}")
        print(f"  rows: {rows}; from {_sources(task)}{unknown}")
        print(f"  metrics: {', '.join(task.metrics)}; primary metric: {task.primary_metric}")


def _sources(task: "Task") -> str:
    sources = {"a package": task.package, "the Hub": task.hub, "a data root": task.data_root}
    return " or ".join(name for name, source in sources.items() if source)


def models(args: argparse.Namespace) -> None:
    """Print models."""
    from harness.config import catalogue

    names = _selected("model", args.names, catalogue.names("models"))
    selected = {name: catalogue.model(name) for name in names}
    if args.json:
        content = {name: model.model_dump(mode="json") for name, model in selected.items()}
        print(json.dumps(content, indent=1))
        return
    for name, model in selected.items():
        source = "a package" if model.package else f"the Hub, {model.hub.repo}" if model.hub else ""
        unknown = "" if model.known else "; hashes unknown until fetch"
        size = f"{model.layers} layers of width {model.width}; " if model.layers and model.width else ""
        print(f"{name}: {model.title}\n  {model.citation}\n  licence: {model.licence}")
        print(f"  {size}from {source}{unknown}")
        if model.contamination:
            print(f"  contamination: {', '.join(model.contamination)}")
