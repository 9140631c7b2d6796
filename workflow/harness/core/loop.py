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
from harness.plan.protocol import Protocol
from harness.plan.task import Task

EVALUATION_BATCH = 64


class DivergenceError(Exception):
    """A loss or a logit is NaN or infinite; training further would compute nothing."""


@dataclass
class Evaluation:
    """Metrics of the selection split after ``step`` batches."""

    step: int
    epoch: float
    metrics: dict[str, float]


@dataclass
class Training:
    """What training leaves behind, apart from the weights."""

    evaluations: list[Evaluation] = field(default_factory=list)
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


def cut(tokens: Tokens, protocol: Protocol) -> tuple[Split, Split]:
    """Return (training rows, selection rows), both by content hash: the same for all methods and seeds."""
    order = np.asarray(tokens.order)
    selection, rest = order[: protocol.selection_rows], order[protocol.selection_rows :]
    return Split(tokens, rest[: protocol.train_rows]), Split(tokens, selection)


def train(
    encoder: Encoder,
    method: Method,
    task: Task,
    protocol: Protocol,
    streams: Streams,
    data: tuple[Split, Split],
    record: Training,
    on_batch: Callable[[int, int, float], None],
    on_evaluation: Callable[[Evaluation], None],
) -> None:
    """Train ``encoder`` in place and leave it with the weights that the selection rule chooses.

    ``data`` is (training rows, selection rows). ``record`` is filled, and ``on_batch(step, batches,
    loss)`` and ``on_evaluation`` are told, as it goes.

    Raises:
        DivergenceError: a loss is not finite; the weights are then worth nothing.
    """
    training, selection = data
    per_epoch = math.ceil(len(training.rows) / protocol.batch_size)
    batches = per_epoch * protocol.epochs
    points = {math.ceil(per_epoch * k / protocol.evaluations_per_epoch) for k in _counted(protocol)}
    update = Update(encoder.network, protocol, batches, encoder.meter)
    best = _Best(task)
    step = 0
    for _ in range(protocol.epochs):
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
            if position in points and len(selection.rows):
                found = _evaluate(encoder, task, selection, step, step / per_epoch, record)
                on_evaluation(found)
                if protocol.selection == "best-on-selection":
                    best.offer(found, encoder)
    record.chosen_step = best.restore(encoder) if best.weights else step


def train_batch(encoder: Encoder, method: Method, batch: Batch, update: Update) -> float:
    """Let ``method`` take its step on one batch, move the schedule on, and return the loss."""
    with encoder.training_step(method.arguments.dropout):
        loss = float(method.step(encoder, batch, update))
    update.next_batch()
    return loss


def _counted(protocol: Protocol) -> range:
    return range(1, protocol.evaluations_per_epoch + 1)


def _evaluate(
    encoder: Encoder, task: Task, selection: Split, step: int, epoch: float, record: Training
) -> Evaluation:
    start = time.perf_counter()
    logits = logits_of(encoder, selection.tokens, selection.rows, EVALUATION_BATCH)
    record.evaluation_seconds += time.perf_counter() - start
    if not np.isfinite(logits).all():
        raise DivergenceError(f"a logit of the selection split is not finite after batch {step}")
    found = Evaluation(step, epoch, scores(task, selection.labels, logits))
    record.evaluations.append(found)
    return found


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
