"""The frame: one row per planned run, made from the run folders. Tables and figures read only this."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd

from harness.config.result import Evaluation, Result, with_examples
from harness.methods.interface import forward_equivalents
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.failures import unfinished
from harness.runs.folder import RunFolder
from harness.util.files import complete_file

MISSING = "missing"
SELECTION = "selection"
LONGEST_REASON = 500
"""Characters of the reason of a failure that the frame and tables keep."""


@dataclass(frozen=True)
class RunRow:
    """One row of the frame: what is known of a planned run."""

    task: str
    model: str
    variant: str
    method: str
    seed: int
    run_key: str
    status: str
    """ok, collapsed, diverged, failed, interrupted or missing."""
    perturbation: str = ""
    """resolved, unresolved, not finite, no noise, or empty where the method has no perturbation."""
    selection: str = ""
    """The selection rule."""
    subset: str = ""
    """Which part of the training rows was used, empty for all of them."""
    contamination: str = ""
    """Why the model was trained on the task's data, empty if it is not known to have been."""
    reason: str = ""
    """Why the run collapsed, diverged or failed."""
    commit: str = ""
    dirty: str = ""
    weights: str = ""
    """Hash of the weights after training."""
    score: float | None = None
    """The primary metric on the primary report split."""
    curve_split: str = SELECTION
    """The split that was evaluated during training: the primary report split if there are no selection rows."""
    curve_steps: list[int] = field(default_factory=list)
    """Batches after which it was evaluated."""
    curve_scores: list[float] = field(default_factory=list)
    """The primary metric of these evaluations."""
    values: dict[str, float] = field(default_factory=dict)
    """``report.<split>.<metric>``, ``curve.*``, ``report_curve.*``, ``cost.*`` and ``perturbation.*``."""

    @property
    def cell(self) -> str:
        """``task/model/variant``."""
        return f"{self.task}/{self.model}/{self.variant}"


COLUMNS = [column.name for column in fields(RunRow) if column.name != "values"]


def frame_path(plan: Plan) -> Path:
    """Return ``results/<experiment>/frame.parquet``."""
    return plan.folder / "frame.parquet"


def build_frame(plan: Plan) -> list[RunRow]:
    """Return a row for each planned run, in the order of the plan."""
    return [row_of(plan, run) for run in plan.runs]


def row_of(plan: Plan, run: Run) -> RunRow:
    """Return what the folder of a run says: its result, its failure, or that it is missing."""
    folder, cell = RunFolder(plan.run_folder(run)), run.cell
    identity = (cell.task_name, cell.model_name, cell.variant, cell.method.name, run.seed, run.key)
    result = folder.result()
    if result is None or result.run_key != run.key:
        state = unfinished(folder)
        if state is None:
            return RunRow(*identity, status=MISSING)
        return RunRow(*identity, status=state.status, reason=state.reason[:LONGEST_REASON])
    provenance = folder.provenance()
    primary = cell.task.primary_metric
    split = SELECTION if cell.protocol.selection_rows else cell.task.primary_split
    curve = [e for e in evaluations(folder) if e.split == split and primary in e.metrics]
    return RunRow(
        *identity,
        status=result.status,
        perturbation=result.perturbation,
        selection=result.selection["rule"],
        subset=result.flags.get("subset") or "",
        contamination=result.flags.get("contamination") or "",
        reason=(result.flags.get("reason") or "")[:LONGEST_REASON],
        commit=str(provenance.get("commit")),
        dirty=str(provenance.get("dirty")),
        weights=result.hashes.get("weights", ""),
        score=result.metrics.get(cell.task.primary_split, {}).get(primary),
        curve_split=split,
        curve_steps=[e.step for e in curve],
        curve_scores=[e.metrics[primary] for e in curve],
        values=dict(sorted(result_values(result))),
    )


def evaluations(folder: RunFolder) -> list[Evaluation]:
    """Return the lines of ``metrics.jsonl``, in the order of the steps."""
    if not folder.metrics_path.is_file():
        return []
    return [
        Evaluation(**json.loads(line))
        for line in folder.metrics_path.read_text(encoding="utf-8").splitlines()
    ]


def result_values(result: Result) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a result by name; what is not defined is left out."""
    for split, metrics in result.metrics.items():
        yield from ((f"report.{split}.{metric}", value) for metric, value in metrics.items())
    for name, curve in (("curve", result.curve), ("report_curve", result.report_curve)):
        yield from ((f"{name}.{key}", float(value)) for key, value in curve if value is not None)
    yield from ((f"cost.{key}", float(value)) for key, value in result.cost if value is not None)
    yield "cost.forward_equivalents", float(result.cost.forward_equivalents)
    if result.flags.get("chance_p") is not None:
        yield "chance_p", result.flags["chance_p"]
    sizes = result.flags.get("perturbation") or {}
    numbers = {key: value for key, value in sizes.items() if key not in ("resolved", "reason")}
    yield from ((f"perturbation.{key}", float(value)) for key, value in numbers.items() if value is not None)


def as_table(rows: list[RunRow]) -> pd.DataFrame:
    """Return the rows as a table: the fields of ``RunRow``, then one column for each name in ``values``."""
    frame = pd.DataFrame([{**{name: getattr(row, name) for name in COLUMNS}, **row.values} for row in rows])
    frame["score"] = frame["score"].astype("float64")
    return frame[[*COLUMNS, *sorted(set(frame.columns) - set(COLUMNS))]]


def write_frame(plan: Plan) -> list[RunRow]:
    """Write ``frame.parquet`` and return its rows."""
    rows = build_frame(plan)
    with complete_file(frame_path(plan)) as temporary:
        as_table(rows).to_parquet(temporary, index=False, compression="zstd")
    return rows


def read_frame(path: Path) -> list[RunRow]:
    """Return the rows of a ``frame.parquet``, without the values that a run does not have."""
    return [_row(record) for record in pd.read_parquet(path).to_dict("records")]


def _row(record: dict[Any, Any]) -> RunRow:
    known = {name: record[name] for name in COLUMNS if name in record}  # an earlier format has fewer
    known["score"] = None if pd.isna(known["score"]) else float(known["score"])
    known |= {name: list(known[name]) for name in ("curve_steps", "curve_scores")}
    others = {str(name): value for name, value in record.items() if name not in known}
    return RunRow(**known, values=_current({name: float(v) for name, v in others.items() if not pd.isna(v)}))


def _current(values: dict[str, float]) -> dict[str, float]:
    """Return the values of a row; those of an earlier format count backward passes in batches."""
    if "cost.examples" not in values or "cost.backward_examples" in values:
        return values
    cost = with_examples({k.removeprefix("cost."): v for k, v in values.items() if k.startswith("cost.")})
    kinds = [cost[name] or 0 for name in ("examples", "backward_examples", "input_backward_examples")]
    converted = {f"cost.{name}": value for name, value in cost.items() if value is not None}
    rest = {name: value for name, value in values.items() if not name.startswith("cost.")}
    return {**rest, **converted, "cost.forward_equivalents": float(forward_equivalents(*map(int, kinds)))}
