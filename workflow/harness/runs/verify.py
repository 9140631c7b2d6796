"""Verification: a run trained again, and compared with what it left."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import HarnessError
from harness.paths import shown
from harness.plan.experiment import Experiment
from harness.plan.grid import Run
from harness.plan.plan import Plan, plan_of
from harness.runs.execute import execute
from harness.runs.folder import RunFolder
from harness.runs.record import Result

TOLERANCE = 0.02
"""Largest difference of a metric between machines: rounding differs, and training amplifies it."""
PLACE = ("device", "threads", "host", "platform")
IDENTICAL, WITHIN, DIFFERENT = "identical", "within tolerance", "different"


def run_of(folder: Path) -> tuple[Plan, Run]:
    """Return the run that ``folder`` holds, in the plan that asked for it.

    Raises:
        HarnessError: no whole record, or plan and code no longer give the run's key.
    """
    result = RunFolder(folder).result()
    if result is None:
        raise HarnessError(f"{shown(folder)}: no whole result.json there")
    path = folder.parents[4] / "plan.json"
    if not path.is_file():
        raise HarnessError(f"{shown(path)}: there is no such file; a run folder lies below its plan")
    content = json.loads(path.read_text(encoding="utf-8"))
    experiment = Experiment.model_validate(content["experiment"])
    plan = plan_of(experiment, Path(content["file"]), folder.parents[5])
    for run in plan.runs:
        if run.key == result.run_key:
            return plan, run
    raise HarnessError(
        f"{shown(folder)}: its key {result.run_key[:8]} is not what the experiment gives now: configuration "
        f"or code changed since commit {_provenance(folder).get('commit')}; check that out to verify it"
    )


def verify(folder: Path, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Train the run of ``folder`` again in a place of its own; write and return ``verification.json``.

    On the same machine with the same versions and threads every bit must be equal; elsewhere a metric
    may differ by ``tolerance``.
    """
    plan, run = run_of(folder)
    before = _provenance(folder)
    threads = int(before.get("machine", {}).get("threads", plan.experiment.threads))
    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        elsewhere = replace(plan, results=Path(name))
        execute(elsewhere, run, threads)
        found = compare(folder, elsewhere.run_folder(run), tolerance)
    RunFolder(folder).write_json(folder / "verification.json", found)
    return found


def compare(first: Path, second: Path, tolerance: float) -> dict[str, Any]:
    """Return the record of how the run in ``second`` differs from that in ``first``."""
    old, new = RunFolder(first).result(), RunFolder(second).result()
    assert old is not None and new is not None
    before, after = _provenance(first), _provenance(second)
    apart = _places(before, after)
    largest = _largest_metric_difference(old, new)
    logits = _largest_logit_difference(first, second)
    equal = old.hashes == new.hashes and old.status == new.status and largest == 0 and logits == 0
    near = old.status == new.status and largest is not None and largest <= tolerance
    verdict = IDENTICAL if equal else WITHIN if near and apart else DIFFERENT
    return {
        "verdict": verdict,
        "run_key": old.run_key,
        "demanded": f"metrics within {tolerance}" if apart else "every bit",
        "same_weights": old.hashes.get("weights") == new.hashes.get("weights"),
        "status": [old.status, new.status],
        "metrics": [old.metrics, new.metrics],
        "largest_metric_difference": largest,
        "largest_logit_difference": logits,
        "places_differ_in": apart,
        "commit": [before.get("commit"), after.get("commit")],
        "dirty": [before.get("dirty"), after.get("dirty")],
        "machine": after.get("machine"),
        "versions": after.get("versions"),
    }


def _provenance(folder: Path) -> dict[str, Any]:
    path = RunFolder(folder).provenance_path
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _places(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return in what machine, threads and versions differ; empty where every bit must be equal."""
    facts = []
    for group, keys in (("machine", PLACE), ("versions", tuple(after.get("versions", {})))):
        old, new = before.get(group, {}), after.get(group, {})
        facts += [f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys if old.get(key) != new.get(key)]
    return facts


def _largest_metric_difference(old: Result, new: Result) -> float | None:
    """Return the largest difference of a metric; None where one of them lacks a metric."""
    flat = [{(s, m): v for s, found in r.metrics.items() for m, v in found.items()} for r in (old, new)]
    if flat[0].keys() != flat[1].keys():
        return None
    return max((abs(flat[0][key] - flat[1][key]) for key in flat[0]), default=0.0)


def _largest_logit_difference(first: Path, second: Path) -> float | None:
    """Return the largest difference of a logit; None where the rows are not the same."""
    paths = [RunFolder(folder).predictions_path for folder in (first, second)]
    if not all(path.is_file() for path in paths):
        return None if any(path.is_file() for path in paths) else 0.0
    old, new = (pd.read_parquet(path) for path in paths)
    same = ["split", "row", "label"]
    if list(old.columns) != list(new.columns) or not old[same].equals(new[same]):
        return None
    logits = [c for c in old.columns if c not in same]
    return float(np.abs(old[logits].to_numpy() - new[logits].to_numpy()).max(initial=0.0))
