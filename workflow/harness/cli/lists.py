"""``methods``, ``tasks``, ``models``: what can be asked for by name."""

import argparse
import json
from typing import Any

from harness.cli._common import Commands, add_command, add_tasks_dir, task_folders


def register(commands: Commands) -> None:
    """Declare the three commands."""
    for name, run in {"methods": methods, "tasks": tasks, "models": models}.items():
        parser = add_command(commands, name, run, f"list {name}", f"{name} --json")
        parser.add_argument("--json", action="store_true", help="as JSON")
        if name == "tasks":
            add_tasks_dir(parser)


def methods(chosen: argparse.Namespace) -> None:
    """Print every variant with its method, then every method with its arguments."""
    from harness.methods.registry import method_class, method_names
    from harness.plan import catalogue

    variants = {name: v.model_dump() for name, v in catalogue.variants().items()}
    found = {name: _method(method_class(name)) for name in method_names()}
    if chosen.json:
        print(json.dumps({"variants": variants, "methods": found}, indent=1))
        return
    print("Variants (what --method takes):")
    for name, variant in variants.items():
        print(f"  {name:12} {variant['note']}")
    for name, method in found.items():
        print(f"\n{name}: {method['summary']}\n  {method['citation']}")
        print(f"  passes a batch at the defaults: {method['passes']}")
        for argument, facts in method["arguments"].items():
            print(f"  {argument:16} {facts['default']!s:12} {facts['description']}")


def _method(kind: Any) -> dict[str, Any]:
    schema = kind.Arguments.model_json_schema()["properties"]
    return {
        "summary": kind.summary,
        "citation": kind.citation,
        "passes": kind.passes(kind.Arguments()).as_dict(),
        "arguments": {
            name: {k: v for k, v in facts.items() if k != "title"} for name, facts in schema.items()
        },
    }


def tasks(chosen: argparse.Namespace) -> None:
    """Print every task."""
    from harness.plan import catalogue

    own = task_folders(chosen)
    found = {name: catalogue.task(name, own) for name in sorted(catalogue.task_files(own))}
    if chosen.json:
        print(json.dumps({name: task.model_dump(mode="json") for name, task in found.items()}, indent=1))
        return
    for name, task in found.items():
        rows = ", ".join(f"{split} {task.count(split) or '?'}" for split in [task.train, *task.report])
        unknown = "; rows not known yet: fetch" if task.unknown_parts() else ""
        print(
            f"{name:22} {task.title}: {task.kind}, ranked by {task.rank}; {rows}; {_sources(task)}{unknown}"
        )


def _sources(task: Any) -> str:
    sources = {"package": task.package, "Hub": task.hub, "data root": task.data_root}
    return " or ".join(name for name, source in sources.items() if source)


def models(chosen: argparse.Namespace) -> None:
    """Print every model."""
    from harness.plan import catalogue

    found = {name: catalogue.model(name) for name in catalogue.names("models")}
    if chosen.json:
        print(json.dumps({name: model.model_dump(mode="json") for name, model in found.items()}, indent=1))
        return
    for name, model in found.items():
        seen = f"; has seen {', '.join(model.seen)}" if model.seen else ""
        source = "package" if model.package else f"Hub, {model.hub.repo}" if model.hub else ""
        unknown = "" if model.known else "; weights not known yet: fetch"
        print(f"{name:22} {model.title}; {source}{seen}{unknown}")
