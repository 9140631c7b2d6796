"""Run folders with known contents, as a run would have left them."""

import json
from typing import Any

import pandas as pd
import yaml

from harness.config.result import Cost, Curve, Result
from harness.plan.cost import training_examples, training_passes
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.folder import RunFolder

ROWS = 8


def plant(plan: Plan, run: Run, score: float | None, status: str = "ok", **changes: Any) -> RunFolder:
    """Write a run folder whose every report split has ``score``.

    ``changes``: ``seconds``, ``curve`` ([(step, score), ...] on the selection rows), ``selection`` (the
    rule), ``report_curve`` (on the primary split), and any flag.
    """
    folder = RunFolder(plan.run_folder(run))
    cell, curve, report = run.cell, changes.pop("curve", []), changes.pop("report_curve", [])
    seconds, rule = changes.pop("seconds", 1.0), changes.pop("selection", "last")
    flags = {"reason": None if status == "ok" else status, "perturbation": None, **changes}
    folder.path.mkdir(parents=True, exist_ok=True)
    _describe(plan, run, folder)
    lines = [
        {"split": split, "step": step, "epoch": 1.0, "metrics": {cell.task.primary_metric: value}}
        for split, points in (("selection", curve), (cell.task.primary_split, report))
        for step, value in points
    ]
    folder.metrics_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if score is not None:
        _predictions(run).to_parquet(folder.predictions_path, index=False)
    folder.write_result(
        Result(
            run_key=run.key,
            experiment=plan.experiment.name,
            task=cell.task_name,
            model=cell.model_name,
            method=cell.method.name,
            variant=cell.variant,
            seed=run.seed,
            status=status,
            selection={"rule": rule, "step": 1},
            metrics={} if score is None else {s: {cell.task.primary_metric: score} for s in cell.task.report},
            curve=_curve([value for _, value in curve]),
            report_curve=_curve([value for _, value in report]),
            cost=_cost(run, seconds),
            flags=flags,
            hashes={"weights": f"{run.seed:064d}", "tokens": cell.tokens_key},
        )
    )  # fmt: skip
    return folder


def _describe(plan: Plan, run: Run, folder: RunFolder) -> None:
    cell = run.cell
    settled = {
        "run": run.name,
        "run_key": run.key,
        "experiment": plan.experiment.name,
        "arguments": cell.method.arguments.model_dump(mode="json"),
        "protocol": cell.protocol.model_dump(mode="json"),
    }
    folder.config_path.write_text(yaml.safe_dump(settled, sort_keys=False))
    folder.write_json(folder.provenance_path, {"commit": "c0ffee" + "0" * 34, "dirty": False})


def _curve(scores: list[float]) -> Curve:
    if not scores:
        return Curve()
    last = scores[-5:]
    return Curve(
        best=max(scores), last=scores[-1], mean_last_5=sum(last) / len(last), evaluations=len(scores)
    )


def _cost(run: Run, seconds: float) -> Cost:
    cell, passes, examples = run.cell, training_passes(run.cell), training_examples(run.cell)
    assert passes is not None and examples
    per_batch = cell.method.passes(cell.method.arguments, cell.task.kind == "regression")
    return Cost(
        forward_passes=passes.forward,
        backward_passes=passes.backward,
        input_backward_passes=passes.input_backward,
        optimizer_steps=passes.optimizer_steps,
        examples=examples * per_batch.forward,
        backward_examples=examples * per_batch.backward,
        input_backward_examples=examples * per_batch.input_backward,
        tokens=1,
        computed_tokens=1,
        evaluation_examples=1,
        train_seconds=seconds,
        evaluation_seconds=1.0,
        peak_memory_mb=100.0,
    )


def _predictions(run: Run) -> pd.DataFrame:
    outputs = run.cell.task.outputs
    parts = []
    for split in run.cell.task.report:
        rows = range(ROWS)
        part = {"split": split, "row": rows, "label": [r % 2 for r in rows]}
        part |= {f"logit_{c}": [float((r + c + run.seed) % 3) for r in rows] for c in range(outputs)}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)
