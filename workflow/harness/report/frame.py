"""The frame: one row for each planned run, exported from MLflow; all that tables read."""

from pathlib import Path
from typing import Any

import pandas as pd

from harness.plan.plan import Plan
from harness.report.mirror import experiment_id, stored_runs
from harness.report.store import open_store

MISSING = "missing"
IDENTITY = ["task", "model", "variant", "method", "seed", "run_key"]


def frame_path(plan: Plan) -> Path:
    """Return ``results/<experiment>/frame.parquet``."""
    return plan.folder / "frame.parquet"


def build_frame(plan: Plan) -> pd.DataFrame:
    """Return the frame: planned runs in their order, with what MLflow knows of each.

    ``status`` is ok, collapsed, diverged or missing; ``perturbation`` is resolved, unresolved or empty
    (the method has none); ``score`` is the ranking metric on the first
    report split (not a number where there is none).
    """
    client = open_store(plan.results)
    stored = {
        run.data.tags["run_key"]: run.data
        for run in stored_runs(client, experiment_id(client, plan))
        if "superseded" not in run.data.tags and "result_sha256" in run.data.tags
    }
    rows = []
    for run in plan.runs:
        cell, data = run.cell, stored.get(run.key)
        row: dict[str, Any] = {
            "task": cell.task_name,
            "model": cell.model_name,
            "variant": cell.variant,
            "method": cell.method.name,
            "seed": run.seed,
            "run_key": run.key,
            "status": data.tags["status"] if data else MISSING,
            "perturbation": data.tags.get("perturbation", "") if data else "",
            "reason": data.tags.get("reason", "") if data else "",
            "commit": data.tags.get("commit", "") if data else "",
        }
        metrics = data.metrics if data else {}
        row["score"] = metrics.get(f"report.{cell.task.report[0]}.{cell.task.rank}")
        row |= {name: metrics[name] for name in sorted(metrics) if not name.startswith("selection.")}
        rows.append(row)
    frame = pd.DataFrame(rows)
    first = [*IDENTITY, "status", "perturbation", "reason", "commit", "score"]
    frame["score"] = frame["score"].astype("float64")
    return frame[[*first, *sorted(set(frame.columns) - set(first))]]


def write_frame(plan: Plan) -> pd.DataFrame:
    """Write the frame and return it."""
    frame = build_frame(plan)
    path = frame_path(plan)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    frame.to_parquet(temporary, index=False)
    temporary.replace(path)
    return frame
