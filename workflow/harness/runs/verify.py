"""Verification: a run is trained again and compared with its record."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness.config.plan_file import read_plan_file
from harness.config.result import Result
from harness.plan.grid import Run
from harness.plan.plan import Plan, plan_of
from harness.runs.folder import RunFolder
from harness.runs.run_or_resume import run_or_resume
from harness.util.errors import HarnessError
from harness.util.paths import display_path

TOLERANCE = 0.02
"""Largest difference of a metric between machines: rounding differs, and training amplifies it."""
PLACE = ("device", "threads", "host", "platform")
Verdict = Literal["identical", "within tolerance", "different"]


@dataclass(frozen=True)
class Verification:
    """How a run that was trained again differs from its record: the content of ``verification.json``."""

    verdict: Verdict
    run_key: str
    required: str
    """``every bit`` on the same machine, versions and threads; a tolerance of the metrics elsewhere."""
    same_weights: bool
    status: tuple[str, str]
    """Of the record and of the new run, as in the pairs below."""
    metrics: tuple[Mapping[str, Mapping[str, float]], Mapping[str, Mapping[str, float]]]
    largest_metric_difference: float | None
    """None where the metrics of the two are not the same ones."""
    largest_logit_difference: float | None
    """None where the rows of the two are not the same ones."""
    environment_differences: list[str]
    """What differs in machine, threads and versions."""
    commit: tuple[str | None, str | None]
    dirty: tuple[bool | None, bool | None]
    machine: Mapping[str, Any] | None
    versions: Mapping[str, str] | None


def run_of(folder: Path) -> tuple[Plan, Run]:
    """Return the run of ``folder`` in the plan that contains it.

    Raises:
        HarnessError: there is no complete record, or plan and code no longer give the run's key.
    """
    result = RunFolder(folder).result()
    if result is None:
        raise HarnessError(f"{display_path(folder)}: no complete result.json there")
    path = folder.parents[4] / "plan.json"
    content = read_plan_file(path)
    plan = plan_of(content.experiment, Path(content.file), folder.parents[5])
    for run in plan.runs:
        if run.key == result.run_key:
            return plan, run
    commit = RunFolder(folder).provenance().get("commit")
    raise HarnessError(
        f"{display_path(folder)}: its key {result.run_key[:8]} is not what the experiment gives now: "
        f"configuration or code changed since commit {commit}; check that commit out to verify the run"
    )


def verify(folder: Path, tolerance: float = TOLERANCE) -> Verification:
    """Train the run of ``folder`` again in a temporary folder; write and return ``verification.json``.

    On the same machine with the same versions and threads every bit must be equal; elsewhere a metric
    may differ by ``tolerance``.
    """
    plan, run = run_of(folder)
    machine = RunFolder(folder).provenance().get("machine", {})
    threads = int(machine.get("threads", plan.experiment.threads))
    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        elsewhere = replace(plan, results=Path(name), shared_cache=plan.cache)
        run_or_resume(elsewhere, run, threads)
        verification = compare(folder, elsewhere.run_folder(run), tolerance)
    RunFolder(folder).write_json(folder / "verification.json", asdict(verification))
    return verification


def compare(first: Path, second: Path, tolerance: float) -> Verification:
    """Return how the run in ``second`` differs from that in ``first``."""
    old, new = RunFolder(first).result(), RunFolder(second).result()
    assert old is not None and new is not None
    before, after = RunFolder(first).provenance(), RunFolder(second).provenance()
    differences = _environment_differences(before, after)
    metric, logit = _largest_metric_difference(old, new), _largest_logit_difference(first, second)
    return Verification(
        verdict=_verdict(old, new, metric, logit, tolerance if differences else None),
        run_key=old.run_key,
        required=f"metrics within {tolerance}" if differences else "every bit",
        same_weights=old.hashes.get("weights") == new.hashes.get("weights"),
        status=(old.status, new.status),
        metrics=(old.metrics, new.metrics),
        largest_metric_difference=metric,
        largest_logit_difference=logit,
        environment_differences=differences,
        commit=(before.get("commit"), after.get("commit")),
        dirty=(before.get("dirty"), after.get("dirty")),
        machine=after.get("machine"),
        versions=after.get("versions"),
    )


def _verdict(
    old: Result, new: Result, metric: float | None, logit: float | None, tolerance: float | None
) -> Verdict:
    """Return the verdict; ``tolerance`` is None where every bit must be equal."""
    if old.hashes == new.hashes and old.status == new.status and metric == 0 and logit == 0:
        return "identical"
    near = tolerance is not None and metric is not None and metric <= tolerance
    return "within tolerance" if near and old.status == new.status else "different"


def _environment_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the differences in machine, threads and versions; empty where every bit must be equal."""
    differences = []
    for group, keys in (("machine", PLACE), ("versions", tuple(after.get("versions", {})))):
        old, new = before.get(group, {}), after.get(group, {})
        differences += [
            f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys if old.get(key) != new.get(key)
        ]
    return differences


def _largest_metric_difference(old: Result, new: Result) -> float | None:
    flat = [{(s, m): v for s, metrics in r.metrics.items() for m, v in metrics.items()} for r in (old, new)]
    if flat[0].keys() != flat[1].keys():
        return None
    return max((abs(flat[0][key] - flat[1][key]) for key in flat[0]), default=0.0)


def _largest_logit_difference(first: Path, second: Path) -> float | None:
    paths = [RunFolder(folder).predictions_path for folder in (first, second)]
    if not all(path.is_file() for path in paths):
        return None if any(path.is_file() for path in paths) else 0.0
    old, new = (pd.read_parquet(path) for path in paths)
    same = ["split", "row", "label"]
    if list(old.columns) != list(new.columns) or not old[same].equals(new[same]):
        return None
    logits = [c for c in old.columns if c not in same]
    return float(np.abs(old[logits].to_numpy() - new[logits].to_numpy()).max(initial=0.0))
