"""The training loop: batches in, method steps, evaluations on the selection split."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from harness.core.batches import shuffled
from harness.core.encoder import Encoder
from harness.core.evaluate import logits_of
from harness.core.metrics import scores
from harness.core.streams import Streams
from harness.core.update import Update
from harness.inputs.tokens import Tokens
from harness.methods.interface import Batch, Method
from harness.plan.protocol import EVALUATION_BATCH, Protocol
from harness.plan.task import Task

SELECTION = "selection"


class DivergenceError(Exception):
    """A loss or a logit is NaN or infinite; training further would compute nothing."""


@dataclass
class Evaluation:
    """Metrics of a split after ``step`` batches."""

    split: str
    """SELECTION, or the name of the ranked report split."""
    step: int
    epoch: float
    metrics: dict[str, float]


@dataclass
class Training:
    """What training leaves behind, apart from the weights."""

    evaluations: list[Evaluation] = field(default_factory=list)
    evaluation_passes: int = 0
    chosen_step: int = 0
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0


@dataclass(frozen=True)
class Split:
    """Rows of a tokenised split."""

    tokens: Tokens
    rows: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Labels of the rows."""
        return np.asarray(self.tokens.labels[self.rows])


@dataclass(frozen=True)
class Data:
    """The rows of a run."""

    training: Split
    selection: Split
    report: dict[str, Split]

    def watched(self, task: Task, protocol: Protocol) -> dict[str, Split]:
        """Return the splits to evaluate along the way.

        The report split is among them only by name: to record its curve, or to choose by it as the
        released scripts do.
        """
        watched = {SELECTION: self.selection} if len(self.selection.rows) else {}
        if protocol.record_report_curve or protocol.selection == "best-on-report":
            watched[task.ranked] = self.report[task.ranked]
        return watched


def cut(tokens: Tokens, protocol: Protocol) -> tuple[Split, Split]:
    """Return (training rows, selection rows), both by content hash: the same for all methods and seeds.

    Equal texts stand together in that order; the cut moves on until it separates none.
    """
    order, at = np.asarray(tokens.order), protocol.selection_rows
    while 0 < at < len(order) and np.array_equal(tokens.row(order[at - 1]), tokens.row(order[at])):
        at += 1
    selection, rest = order[:at], order[at:]
    return Split(tokens, rest[: protocol.train_rows]), Split(tokens, selection)


def train(
    encoder: Encoder,
    method: Method,
    task: Task,
    protocol: Protocol,
    streams: Streams,
    data: Data,
    record: Training,
    on_batch: Callable[[int, int, float], None],
    on_evaluation: Callable[[Evaluation], None],
) -> None:
    """Train ``encoder`` in place and leave it with the weights that the selection rule chooses.

    ``record`` is filled, and ``on_batch(step, batches, loss)`` and ``on_evaluation`` are told, as it goes.

    Raises:
        DivergenceError: a loss is not finite; the weights are then worth nothing.
    """
    training, watched = data.training, data.watched(task, protocol)
    per_epoch = math.ceil(len(training.rows) / protocol.batch_size)
    batches = protocol.steps or per_epoch * protocol.epochs
    points = {math.ceil(per_epoch * k / protocol.evaluations_per_epoch) for k in _counted(protocol)}
    chooser = {"best-on-selection": SELECTION, "best-on-report": task.ranked}.get(protocol.selection)
    update = Update(encoder.network, protocol, batches, encoder.meter)
    best = _Best(task)
    step = 0
    for _ in range(math.ceil(batches / per_epoch)):
        epoch = shuffled(training.tokens, training.rows, protocol.batch_size, streams.order, encoder.device)
        for position, batch in enumerate(epoch, start=1):
            step += 1
            start = time.perf_counter()
            loss = train_batch(encoder, method, batch, update)
            record.train_seconds += time.perf_counter() - start
            if not math.isfinite(loss):
                cause = "the loss" if encoder.perturbations_finite() else "a perturbation"
                raise DivergenceError(f"{cause} is not finite at batch {step} of {batches} (loss {loss})")
            on_batch(step, batches, loss)
            for name, split in watched.items() if position in points or step == batches else ():
                logits = evaluate(encoder, split, record)
                if not np.isfinite(logits).all():
                    raise DivergenceError(f"a logit of the {name} split is not finite after batch {step}")
                found = Evaluation(name, step, step / per_epoch, scores(task, split.labels, logits))
                record.evaluations.append(found)
                on_evaluation(found)
                if name == chooser:
                    best.offer(found, encoder)
            if step == batches:
                break
    record.chosen_step = best.restore(encoder) if best.weights else step


def train_batch(encoder: Encoder, method: Method, batch: Batch, update: Update) -> float:
    """Let ``method`` take its step on one batch, move the schedule on, and return the loss."""
    with encoder.training_step(method.arguments.dropout):
        loss = float(method.step(encoder, batch, update))
    update.next_batch()
    return loss


def _counted(protocol: Protocol) -> range:
    return range(1, protocol.evaluations_per_epoch + 1)


def evaluate(encoder: Encoder, split: Split, record: Training) -> np.ndarray:
    """Return the logits of a split, [n, C]; time and passes are added to ``record``."""
    start = time.perf_counter()
    logits, passes = logits_of(encoder, split.tokens, split.rows, EVALUATION_BATCH)
    record.evaluation_seconds += time.perf_counter() - start
    record.evaluation_passes += passes
    return logits


class _Best:
    """Weights of the best evaluation so far; the first one wins a tie."""

    def __init__(self, task: Task) -> None:
        self.rank = task.rank
        self.value = -math.inf
        self.step = 0
        self.weights: list[torch.Tensor] = []

    def offer(self, found: Evaluation, encoder: Encoder) -> None:
        value = found.metrics.get(self.rank, -math.inf)
        if value > self.value or not self.weights:
            self.value, self.step = value, found.step
            self.weights = [p.detach().clone() for p in encoder.network.parameters()]

    def restore(self, encoder: Encoder) -> int:
        with torch.no_grad():
            for parameter, kept in zip(encoder.network.parameters(), self.weights, strict=True):
                parameter.copy_(kept)
        return self.step
