"""The frame: one row for each planned run, exported from MLflow; all that tables read of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.report.entry import CONTENT
from harness.report.mirror import SUPERSEDED
from harness.report.store import Curves, Stored, identity_of, open_store
from harness.runs.atomic import whole_file

MISSING = "missing"
TEXTS = ["status", "perturbation", "selection", "subset", "seen", "reason", "commit", "dirty", "weights"]
IDENTITY = ["task", "model", "variant", "method", "seed", "run_key"]
FIRST = [*IDENTITY, *TEXTS, "score", "curve_steps", "curve_scores"]


def frame_path(plan: Plan) -> Path:
    """Return ``results/<experiment>/frame.parquet``."""
    return plan.folder / "frame.parquet"


def build_frame(plan: Plan) -> pd.DataFrame:
    """Return the frame from MLflow: planned runs in their order, with what it holds of each."""
    store = open_store(plan.results, plan.experiment.name)
    stored = {
        identity_of(run): run for run in store.runs() if SUPERSEDED not in run.tags and CONTENT in run.tags
    }
    return frame_of(plan, stored, store.curves({f"selection.{c.task.rank}" for c in plan.cells}))


def frame_of(plan: Plan, stored: Mapping[tuple[str, str], Stored], curves: Curves) -> pd.DataFrame:
    """Return the frame of ``stored``, runs by their key and variant.

    ``status`` is ok, collapsed, diverged, failed or missing; ``perturbation`` resolved, unresolved or
    empty (the method has none); ``subset`` and ``seen`` say why a score is not like others; ``score``
    is the ranking metric on the first report split; ``curve_steps`` and ``curve_scores`` are the
    evaluations of the ranking metric on the selection split.
    """
    frame = pd.DataFrame(
        [_row(plan, run, stored.get((run.key, run.cell.variant)), curves) for run in plan.runs]
    )
    frame["score"] = frame["score"].astype("float64")
    return frame[[*FIRST, *sorted(set(frame.columns) - set(FIRST))]]


def _row(plan: Plan, run: Run, stored: Stored | None, curves: Curves) -> dict[str, Any]:
    cell = run.cell
    tags, metrics = (stored.tags, stored.metrics) if stored else ({}, {})
    curve = curves.get((stored.id, f"selection.{cell.task.rank}"), []) if stored else []
    row: dict[str, Any] = {
        "task": cell.task_name,
        "model": cell.model_name,
        "variant": cell.variant,
        "method": cell.method.name,
        "seed": run.seed,
        "run_key": run.key,
        **{name: tags.get(name, "") for name in TEXTS},
        "status": tags.get("status", MISSING),
        "weights": tags.get("hash.weights", ""),
        "score": metrics.get(f"report.{cell.task.report[0]}.{cell.task.rank}"),
        "curve_steps": [step for step, _ in curve],
        "curve_scores": [score for _, score in curve],
    }
    return row | {name: metrics[name] for name in sorted(metrics) if not name.startswith("selection.")}


def write_frame(plan: Plan) -> pd.DataFrame:
    """Write the frame and return it."""
    frame = build_frame(plan)
    path = frame_path(plan)
    with whole_file(path) as temporary:
        frame.to_parquet(temporary, index=False, compression="zstd")
    return frame
