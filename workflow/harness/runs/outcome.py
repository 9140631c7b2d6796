"""From a trained encoder to the record: scores, status, cost, hashes, predictions."""

import hashlib
import resource
import sys
from typing import Any

import numpy as np
import pandas as pd
import torch

from harness.core.encoder import Encoder, Meter
from harness.core.loop import SELECTION, Split, Training
from harness.core.metrics import collapse, scores
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.atomic import write_bytes
from harness.runs.folder import RunFolder
from harness.runs.prepare import Prepared
from harness.runs.record import Cost, Curve, Result, Status


def make_result(
    plan: Plan,
    run: Run,
    training: Training,
    ready: Prepared,
    logits: dict[str, np.ndarray],
    cause: str | None,
) -> Result:
    """Return the record of a run; ``cause`` says why it diverged, None if it did not."""
    cell, report = run.cell, ready.data.report
    status: Status = "diverged"
    flags: dict[str, Any] = {"reason": cause}
    if cause is None:
        ranked = cell.task.ranked
        why, p = collapse(cell.task, report[ranked].labels, logits[ranked])
        status = "ok" if why is None else "collapsed"
        flags = {"reason": why, "chance_p": p}
    return Result(
        run_key=run.key,
        experiment=plan.experiment.name,
        task=cell.task_name,
        model=cell.model_name,
        method=cell.method.name,
        variant=cell.variant,
        seed=run.seed,
        status=status,
        selection={"rule": cell.protocol.selection, "step": training.chosen_step},
        metrics={name: scores(cell.task, report[name].labels, values) for name, values in logits.items()},
        curve=_curve(training, SELECTION, cell.task.rank),
        report_curve=_curve(training, cell.task.ranked, cell.task.rank),
        cost=_cost(training, ready.encoder.meter, ready.encoder.device),
        flags={
            **flags,
            "subset": cell.task.subset(),
            "seen": cell.seen,
            "cut_texts": ready.cut,
            "micro_batch": ready.encoder.micro_batch,
        },
        hashes={},
    )


def _curve(training: Training, split: str, rank: str) -> Curve:
    evaluations = [e for e in training.evaluations if e.split == split]
    values = [e.metrics[rank] for e in evaluations if rank in e.metrics]
    if not values:
        return Curve(evaluations=len(evaluations))
    last = values[-5:]
    return Curve(
        best=max(values), last=values[-1], mean_last_5=sum(last) / len(last), evaluations=len(evaluations)
    )


def _cost(training: Training, meter: Meter, device: torch.device) -> Cost:
    return Cost(
        forward_passes=meter.forward,
        backward_passes=meter.backward,
        input_backward_passes=meter.input_backward,
        optimizer_steps=meter.optimizer_steps,
        examples=meter.examples,
        tokens=meter.tokens,
        computed_tokens=meter.computed_tokens,
        evaluation_passes=training.evaluation_passes,
        train_seconds=round(training.train_seconds, 3),
        evaluation_seconds=round(training.evaluation_seconds, 3),
        peak_memory_mb=round(_peak_memory_mb(device), 1),
    )


def _peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def weights_hash(encoder: Encoder, head_only: bool = False) -> str:
    """Return the SHA-256 of all parameters, or of those outside the pre-trained encoder."""
    backbone = f"{getattr(encoder.network, 'base_model_prefix', '')}."
    state = hashlib.sha256()
    for name, parameter in encoder.named_parameters().items():
        if not (head_only and name.startswith(backbone)):
            state.update(name.encode() + parameter.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def write_predictions(folder: RunFolder, report: dict[str, Split], logits: dict[str, np.ndarray]) -> None:
    """Write row number, label and logits of the report splits; a diverged run has none."""
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
