"""``environment.json``: what the runs of an experiment were made with, counted over runs."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from harness.plan.plan import Plan
from harness.runs.atomic import write_text
from harness.runs.folder import RunFolder

MACHINE = ("device", "threads", "platform")
Environment = dict[str, dict[str, int]]
"""Fact to its values, each with the number of runs that it held for."""


def environment_path(folder: Path) -> Path:
    """Return where the environment of an experiment's folder lies."""
    return folder / "environment.json"


def write_environment(plan: Plan) -> Path:
    """Write the commits, versions and machines of all planned runs with a result; return the file."""
    counts: dict[str, Counter[str]] = {}
    for run in plan.runs:
        folder = RunFolder(plan.run_folder(run))
        if folder.result_path.is_file() and folder.provenance_path.is_file():
            for name, value in _facts(json.loads(folder.provenance_path.read_text(encoding="utf-8"))):
                counts.setdefault(name, Counter())[value] += 1
    path = environment_path(plan.folder)
    found = {name: dict(sorted(values.items())) for name, values in counts.items()}
    write_text(path, json.dumps(found, indent=1) + "\n")
    return path


def _facts(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    changed = " with uncommitted changes" if provenance.get("dirty") else ""
    facts = [("commit", f"{provenance.get('commit') or 'not in git'}{changed}")]
    facts += list(provenance.get("versions", {}).items())
    machine = provenance.get("machine", {})
    return facts + [(name, str(machine[name])) for name in MACHINE if name in machine]


def read_environment(folder: Path) -> Environment:
    """Return the environment, empty where none was recorded."""
    path = environment_path(folder)
    found: Environment = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found
