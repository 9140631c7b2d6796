"""One run from plan to record."""

import gc
import json
import logging
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from harness.core.batches import collate
from harness.core.encoder import Encoder
from harness.core.loop import DivergenceError, Evaluation, Interrupted, Split
from harness.core.magnitude import last_perturbation, measure
from harness.core.trainer import Trainer
from harness.core.update import Update
from harness.methods.interface import Method
from harness.plan.grid import Cell, Run
from harness.plan.plan import Plan
from harness.runs.atomic import write_text
from harness.runs.checkpoint import Checkpoints
from harness.runs.describe import describe
from harness.runs.device import next_smaller, settle_torch
from harness.runs.folder import RunFolder
from harness.runs.outcome import make_result, weights_hash, write_predictions
from harness.runs.prepare import prepare
from harness.runs.progress import Progress
from harness.runs.record import Result
from harness.runs.saver import Saver
from harness.runs.stop import InterruptedRunError, StopRequest

log = logging.getLogger(__name__)


class _TooLargeError(Exception):
    """Memory ran out; fewer examples at a time may fit."""

    def __init__(self, next_size: int) -> None:
        self.next_size = next_size


def execute(plan: Plan, run: Run, threads: int, stop: StopRequest | None = None) -> Result:
    """Train, evaluate and record one run, or finish an interrupted one; its lock must be held.

    A run that diverges is a result. When a GPU's memory runs out the run goes on, from its newest
    checkpoint, with half as many examples at a time. Anything else that goes wrong is raised, and
    leaves no result.

    Raises:
        InterruptedRunError: ``stop`` was asked for; what was done is in a checkpoint.
    """
    settle_torch(plan.experiment, threads)
    folder = RunFolder(plan.run_folder(run))
    folder.sweep()
    micro_batch = plan.experiment.micro_batch
    while True:
        try:
            return _try(plan, run, folder, stop, micro_batch)
        except _TooLargeError as error:
            micro_batch = error.next_size
        # Out here nothing holds the failed try's tensors any more.
        log.warning("%s: out of memory; goes on with %d examples at a time", run.name, micro_batch)
        gc.collect()
        torch.cuda.empty_cache()


def _try(
    plan: Plan, run: Run, folder: RunFolder, stop: StopRequest | None, micro_batch: int | None
) -> Result:
    """Go on from the newest checkpoint to the record."""
    cell, checkpoints = run.cell, Checkpoints(folder.checkpoints, run.key)
    ready = prepare(plan, cell, run.seed)
    encoder, data = ready.encoder, ready.data
    encoder.micro_batch = micro_batch if micro_batch and micro_batch < cell.protocol.batch_size else None
    method = type(cell.method)(cell.method.arguments)  # its state is this run's alone
    head = weights_hash(encoder, head_only=True)

    def check() -> None:
        if stop:
            raise Interrupted

    trainer = Trainer(encoder, method, cell.task, cell.protocol, ready.streams, data, check)
    saver = Saver(trainer, checkpoints, plan.experiment.checkpoint_minutes)
    saver.resume()
    began = trainer.step
    describe(plan, run, folder, ready, trainer.step)
    try:
        logits, cause = _train(trainer, saver, run, folder)
        result = make_result(plan, run, trainer.record, ready, logits, cause)
        hashes = {"weights": weights_hash(encoder), "head": head, "tokens": cell.tokens_key}
        size = _magnitude(encoder, method, cell, data.training) if cause is None else None
    except Interrupted:
        where = f"interrupted after batch {trainer.step} of {trainer.batches}"
        told = f"{run.name}: {where}; {saver.save()}; the same command goes on"
        raise InterruptedRunError(told, advanced=trainer.step > began) from None
    except torch.OutOfMemoryError:
        raise _TooLargeError(next_smaller(encoder.micro_batch, cell.protocol.batch_size)) from None
    result = result.model_copy(update={"hashes": hashes, "flags": {**result.flags, "perturbation": size}})
    write_predictions(folder, data.report, logits)
    folder.write_result(result)
    checkpoints.clear()
    return result


def _train(
    trainer: Trainer, saver: Saver, run: Run, folder: RunFolder
) -> tuple[dict[str, np.ndarray], str | None]:
    """Return the logits of the report splits, and why the training diverged if it did."""
    progress = Progress(run.name, trainer)

    def on_batch(loss: float) -> None:
        progress.on_batch(loss)
        saver.save_if_due()

    def on_evaluation(found: Evaluation) -> None:
        progress.on_evaluation(found)
        _write_metrics(folder, trainer)

    _write_metrics(folder, trainer)  # an earlier try may have come further than its last checkpoint
    try:
        trainer.run(on_batch, on_evaluation)
        logits = {name: trainer.evaluate(split) for name, split in trainer.data.report.items()}
        if not all(np.isfinite(values).all() for values in logits.values()):
            raise DivergenceError("a logit of the report split is not finite")
    except DivergenceError as error:
        log.warning("%s diverged: %s", run.name, error)
        return {}, str(error)
    finally:
        progress.close()
    return logits, None


def _write_metrics(folder: RunFolder, trainer: Trainer) -> None:
    """Write metrics.jsonl as of now: no line twice, none missing, whatever was interrupted."""
    lines = [json.dumps(asdict(found)) + "\n" for found in trainer.record.evaluations]
    write_text(folder.metrics_path, "".join(lines))


def _magnitude(encoder: Encoder, method: Method, cell: Cell, training: Split) -> dict[str, Any] | None:
    """Return the size of the method's perturbation on the first training rows, None if it has none.

    It is the last thing done with the weights: a step of the method moves them.
    """
    batch = collate(training.tokens, training.rows[: cell.protocol.batch_size], encoder.device)
    update = Update(encoder.network, cell.protocol, 1, encoder.meter, encoder.loss_scale)
    perturbation = last_perturbation(encoder, method, batch, update)
    if perturbation is None:
        return None
    return measure(encoder, batch, perturbation, cell.protocol.precision).as_dict()
