"""The result of a run: scores, status, cost, hashes of the weights, predictions."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from harness.config.result import Cost, Curve, Result, Status
from harness.engine.encoder import Encoder, Meter
from harness.engine.metrics import collapse, scores
from harness.engine.splits import SELECTION, Split
from harness.engine.trainer import Training
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.folder import RunFolder
from harness.runs.session import TrainingSession, has_dropout
from harness.util.files import write_bytes


def build_result(
    plan: Plan,
    run: Run,
    session: TrainingSession,
    logits: dict[str, np.ndarray],
    cause: str | None,
    peak: int | None,
) -> Result:
    """Return the result of a run.

    Args:
        logits: [rows, outputs] for each report split; empty if the run diverged.
        cause: why it diverged, or None.
        peak: largest memory during the run in bytes, None if it is not known.
    """
    cell, report, training = run.cell, session.data.report, session.trainer.record
    status: Status = "diverged"
    flags: dict[str, Any] = {"reason": cause}
    if cause is None:
        primary = cell.task.primary_split
        reason, p = collapse(cell.task, report[primary].labels, logits[primary])
        status = "ok" if reason is None else "collapsed"
        flags = {"reason": reason, "chance_p": p}
    return Result(
        run_key=run.key,
        experiment=plan.experiment.name,
        task=cell.task_name,
        model=cell.model_name,
        method=cell.method.name,
        variant=cell.variant,
        seed=run.seed,
        status=status,
        selection={"rule": cell.protocol.selection, "step": training.selected_step},
        metrics={name: scores(cell.task, report[name].labels, values) for name, values in logits.items()},
        curve=_curve(training, SELECTION, cell.task.primary_metric),
        report_curve=_curve(training, cell.task.primary_split, cell.task.primary_metric),
        cost=_cost(training, session.encoder.meter, peak),
        flags={
            **flags,
            "subset": cell.task.subset(),
            "contamination": cell.contamination,
            "truncated": session.truncated,
            "micro_batch": session.encoder.micro_batch,
            "without_noise": session.method.needs_dropout(session.method.arguments)
            and not has_dropout(session.encoder, session.method),
        },
        hashes={},
    )


def _curve(training: Training, split: str, metric: str) -> Curve:
    evaluations = [e for e in training.evaluations if e.split == split]
    values = [e.metrics[metric] for e in evaluations if metric in e.metrics]
    if not values:
        return Curve(evaluations=len(evaluations))
    last = values[-5:]
    return Curve(
        best=max(values), last=values[-1], mean_last_5=sum(last) / len(last), evaluations=len(evaluations)
    )


def _cost(training: Training, meter: Meter, peak: int | None) -> Cost:
    return Cost(
        forward_passes=meter.forward,
        backward_passes=meter.backward,
        input_backward_passes=meter.input_backward,
        optimizer_steps=meter.optimizer_steps,
        examples=meter.examples,
        backward_examples=meter.backward_examples,
        input_backward_examples=meter.input_backward_examples,
        tokens=meter.tokens,
        computed_tokens=meter.computed_tokens,
        evaluation_examples=training.evaluation_examples,
        train_seconds=round(training.train_seconds, 3),
        evaluation_seconds=round(training.evaluation_seconds, 3),
        peak_memory_mb=None if peak is None else round(peak / 2**20, 1),
    )


def weights_hash(encoder: Encoder, head_only: bool = False) -> str:
    """Return the SHA-256 of all parameters, or only of those outside the pre-trained encoder."""
    backbone = f"{getattr(encoder.network, 'base_model_prefix', '')}."
    state = hashlib.sha256()
    for name, parameter in encoder.named_parameters().items():
        if not (head_only and name.startswith(backbone)):
            state.update(name.encode() + parameter.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def write_predictions(folder: RunFolder, report: dict[str, Split], logits: dict[str, np.ndarray]) -> None:
    """Write row number, label and logits of the report splits; a diverged run has no such file."""
    parts = [
        pd.DataFrame(
            {
                "split": name,
                "row": report[name].rows,
                "label": report[name].labels,
                **{f"logit_{c}": values[:, c] for c in range(values.shape[1])},
            }
        )
        for name, values in logits.items()
    ]
    if not parts:
        folder.predictions_path.unlink(missing_ok=True)
        return
    table: bytes = pd.concat(parts, ignore_index=True).to_parquet(index=False)
    write_bytes(folder.predictions_path, table)
