"""``environment.json``: commits, versions and machines of the runs of an experiment."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from harness.plan.plan import Plan
from harness.runs.folder import RunFolder
from harness.runs.provenance import commit_text
from harness.util.files import write_text

MACHINE = ("device", "threads", "platform")
Environment = dict[str, dict[str, int]]
"""Name of a fact to its values, each with its number of runs."""


def environment_path(folder: Path) -> Path:
    """Return the path of the environment in an experiment's folder."""
    return folder / "environment.json"


def write_environment(plan: Plan) -> Path:
    """Write the commits, versions and machines of all planned runs with a result; return the path."""
    counts: dict[str, Counter[str]] = {}
    for run in plan.runs:
        folder = RunFolder(plan.run_folder(run))
        if folder.result_path.is_file() and folder.provenance_path.is_file():
            for name, value in _facts(folder.provenance()):
                counts.setdefault(name, Counter())[value] += 1
    path = environment_path(plan.folder)
    content = {name: dict(sorted(values.items())) for name, values in counts.items()}
    write_text(path, json.dumps(content, indent=1) + "\n")
    return path


def _facts(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [("commit", commit_text(provenance))]
    facts += list(provenance.get("versions", {}).items())
    machine = provenance.get("machine", {})
    return facts + [(name, str(machine[name])) for name in MACHINE if name in machine]


def read_environment(folder: Path) -> Environment:
    """Return the environment, empty if none was recorded."""
    path = environment_path(folder)
    environment: Environment = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return environment
