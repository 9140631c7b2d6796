"""From a planned run to its result: train, evaluate, write the run folder."""

import json
import logging
from dataclasses import asdict

import numpy as np

from harness.config.result import Evaluation, Result
from harness.data.tokens import tokens_hash
from harness.engine.batches import collate
from harness.engine.optim import ScheduledOptimizer
from harness.engine.perturbation import Magnitude, last_perturbation, measure
from harness.engine.trainer import DivergenceError, Interrupted, Trainer
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.checkpoint import Checkpoints
from harness.runs.checkpoint_schedule import CheckpointSchedule
from harness.runs.device import configure_torch
from harness.runs.folder import RunFolder
from harness.runs.manifest import write_manifest
from harness.runs.memory import peak_bytes, reset_peak
from harness.runs.progress import Progress
from harness.runs.result_builder import build_result, weights_hash, write_predictions
from harness.runs.session import TrainingSession, open_session
from harness.runs.stop import InterruptedRunError, StopRequest
from harness.util.files import write_text
from harness.util.lock import Lock

log = logging.getLogger(__name__)
Logits = dict[str, np.ndarray]
"""Report split to logits, [n, C]."""


def train_and_record(
    plan: Plan,
    run: Run,
    folder: RunFolder,
    lock: Lock,
    threads: int,
    stop: StopRequest | None,
    micro_batch: int | None,
) -> Result:
    """Train the run, or resume it from its newest checkpoint, and write its result.

    Nothing is written unless ``lock``, the lock of ``folder``, is still held.

    Raises:
        InterruptedRunError: ``stop`` was requested; what was done is in a checkpoint.
        LostLockError: another process has taken the lock.
        SmallerBatchNeeded: memory ran out (see ``fit_in_memory``).
    """
    configure_torch(plan.experiment, threads)
    folder.sweep()
    session = open_session(plan, run.cell, run.seed, micro_batch=micro_batch, stop=stop)
    head = weights_hash(session.encoder, head_only=True)
    measurable = reset_peak(session.encoder.device)
    trainer, checkpoints = session.trainer, Checkpoints(folder.checkpoints, run.key, lock)
    schedule = CheckpointSchedule(trainer, checkpoints, plan.experiment.checkpoint_minutes)
    schedule.resume()
    write_manifest(plan, run, folder, session, trainer.step)
    observer = _Observer(Progress(run.name, trainer), schedule, folder, lock, trainer)
    cause: str | None = None
    logits: Logits = {}
    try:
        with session.out_of_memory_as_smaller_batch(), observer:
            try:
                trainer.run(observer.on_batch, observer.on_evaluation)
                logits = _report_logits(trainer)
            except DivergenceError as error:
                log.warning("%s diverged: %s", run.name, error)
                cause = str(error)
            peak = peak_bytes(session.encoder.device) if measurable else None
            result = build_result(plan, run, session, logits, cause, peak)
            tokens = tokens_hash(plan.tokens_folder(run.cell))
            hashes = {"weights": weights_hash(session.encoder), "head": head, "tokens": tokens}
            size = _perturbation_size(session) if cause is None else None
    except Interrupted:
        where = f"interrupted after batch {trainer.step} of {trainer.batches}"
        message = f"{run.name}: {where}; {schedule.save()}; the same command resumes it"
        raise InterruptedRunError(message, advanced=schedule.advanced) from None
    flags = {**result.flags, "perturbation": size.as_dict() if size else None}
    result = result.model_copy(update={"hashes": hashes, "flags": flags})
    lock.check()
    write_predictions(folder, session.data.report, logits)
    folder.write_result(result)
    checkpoints.clear()
    return result


class _Observer:
    """Follows a training: progress, checkpoints, and metrics.jsonl."""

    def __init__(
        self,
        progress: Progress,
        schedule: CheckpointSchedule,
        folder: RunFolder,
        lock: Lock,
        trainer: Trainer,
    ) -> None:
        self._progress, self._schedule = progress, schedule
        self._folder, self._lock, self._trainer = folder, lock, trainer

    def __enter__(self) -> None:
        self._write_metrics()  # an earlier attempt may have come further than its last checkpoint

    def __exit__(self, *_: object) -> None:
        self._progress.close()

    def on_batch(self, loss: float) -> None:
        self._progress.on_batch(loss)
        self._schedule.save_if_due()

    def on_evaluation(self, evaluation: Evaluation) -> None:
        self._progress.on_evaluation(evaluation)
        self._write_metrics()

    def _write_metrics(self) -> None:
        """Write metrics.jsonl as of now: no line twice and none missing, whatever was interrupted."""
        self._lock.check()
        lines = [json.dumps(asdict(one)) + "\n" for one in self._trainer.record.evaluations]
        write_text(self._folder.metrics_path, "".join(lines))


def _report_logits(trainer: Trainer) -> Logits:
    """Return the logits of the report splits: the only time that they are read after training."""
    logits = {name: trainer.evaluate(split) for name, split in trainer.data.report.items()}
    if not all(np.isfinite(values).all() for values in logits.values()):
        raise DivergenceError("a logit of the report split is not finite")
    return logits


def _perturbation_size(session: TrainingSession) -> Magnitude | None:
    """Return the size of the method's perturbation on the first training rows, None if it has none.

    It is the last thing done with the weights: a step of the method moves them.
    """
    encoder, protocol, training = session.encoder, session.cell.protocol, session.data.training
    batch = collate(training.tokens, training.rows[: protocol.batch_size], encoder.device)
    optimizer = ScheduledOptimizer(encoder.network, protocol, 1, encoder.meter, encoder.loss_scale)
    perturbation = last_perturbation(encoder, session.method, batch, optimizer)
    return None if perturbation is None else measure(encoder, batch, perturbation, protocol.precision)
