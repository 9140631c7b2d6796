"""The training loop: batches, steps of the method, evaluations. It can be resumed after any batch."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.config.protocol import EVALUATION_BATCH, Protocol
from harness.config.result import Evaluation
from harness.config.task import Task
from harness.engine.batches import shuffled
from harness.engine.encoder import Encoder, Meter
from harness.engine.metrics import scores
from harness.engine.optim import ScheduledOptimizer
from harness.engine.rng import Streams
from harness.engine.splits import SELECTION, Data, Split, logits_of
from harness.methods.interface import Batch, Method
from harness.util.errors import HarnessError


class DivergenceError(Exception):
    """A loss or a logit is NaN or infinite; further training would be useless."""


class Interrupted(Exception):  # noqa: N818 - not an error: the state of the training is complete
    """The training was requested to stop, between two batches."""


@dataclass
class Training:
    """The record of a training."""

    evaluations: list[Evaluation] = field(default_factory=list)
    evaluation_examples: int = 0
    selected_step: int = 0
    """Number of batches after which the reported weights were taken."""
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Training":
        """Return the record that ``dataclasses.asdict`` turned into ``content``."""
        return cls(**{**content, "evaluations": [Evaluation(**e) for e in content["evaluations"]]})


@dataclass(frozen=True)
class State:
    """The state of a training between two batches; a tensor may be the one that training changes."""

    facts: dict[str, Any]
    """All values but tensors, as JSON."""
    tensors: dict[str, dict[str, Tensor]]
    """Tensors by group and name."""


class Best:
    """The weights of the best evaluation so far; of equal scores, the first one counts."""

    def __init__(self) -> None:
        self.value: float | None = None
        self.step = 0
        self.weights: dict[str, Tensor] = {}

    def offer(self, value: float | None, step: int, encoder: Encoder) -> None:
        """Copy the weights if ``value`` is the best one; an undefined score (None) is the worst."""
        if self.weights and (value is None or (self.value is not None and value <= self.value)):
            return
        self.value, self.step = value, step
        for name, parameter in encoder.named_parameters().items():
            if name in self.weights:
                self.weights[name].copy_(parameter.detach())  # in place: there is never a second copy
            else:
                self.weights[name] = parameter.detach().clone()


class Trainer:
    """The training of one run. ``state``, between two batches, is all that resuming needs."""

    def __init__(
        self,
        encoder: Encoder,
        method: Method,
        task: Task,
        protocol: Protocol,
        streams: Streams,
        data: Data,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Take over a new encoder; ``check`` is called between batches and may raise Interrupted."""
        self.encoder, self.method = encoder, method
        self.task, self.protocol = task, protocol
        self.streams, self.data, self.check = streams, data, check
        self.record = Training()
        self.step = 0
        self.per_epoch = math.ceil(len(data.training.rows) / protocol.batch_size)
        self.batches = protocol.steps or self.per_epoch * protocol.epochs
        self._optimizer = ScheduledOptimizer(
            encoder.network, protocol, self.batches, encoder.meter, encoder.loss_scale
        )
        self._best = Best()
        self._order = streams.order.get_state()
        self._splits = data.evaluated_during_training(task, protocol)
        points = range(1, protocol.evaluations_per_epoch + 1)
        self._points = {math.ceil(self.per_epoch * k / protocol.evaluations_per_epoch) for k in points}

    def run(self, on_batch: Callable[[float], None], on_evaluation: Callable[[Evaluation], None]) -> None:
        """Train to the end, then load the weights that the selection rule takes.

        After each batch, ``on_evaluation`` is called with each evaluation, then ``on_batch`` with the loss.

        Raises:
            DivergenceError: a loss is not finite; the weights are useless.
            HarnessError: a batch took other passes than the method declares.
            Interrupted: ``check`` raised it.
        """
        self._evaluate_if_due(on_evaluation)  # evaluations that an interrupted attempt did not reach
        while self.step < self.batches:
            for batch in self._rest_of_epoch():
                start, before = time.perf_counter(), replace(self.encoder.meter)
                loss = train_batch(self.encoder, self.method, batch, self._optimizer)
                skipped = self.encoder.meter.skipped_steps > before.skipped_steps
                overflow = skipped and self._optimizer.can_scale_down
                self._count_batch(loss, time.perf_counter() - start, overflow)
                self._check_passes(before, len(batch.labels))
                self._evaluate_if_due(on_evaluation)
                on_batch(loss)
                self.check()
                if self.step == self.batches:
                    break
        self.record.selected_step = self.step
        if self._best.weights:
            _load_weights(self.encoder, self._best.weights)
            self.record.selected_step = self._best.step

    def evaluate(self, split: Split) -> np.ndarray:
        """Return the logits of a split, [n, C]; time and examples are added to the record."""
        start = time.perf_counter()
        logits = logits_of(self.encoder, split.tokens, split.rows, EVALUATION_BATCH, self.check)
        self.record.evaluation_seconds += time.perf_counter() - start
        self.record.evaluation_examples += len(logits)
        return logits

    def state(self) -> State:
        """Return the state; of the data order, that at the beginning of the epoch."""
        streams = self.streams.state()
        if self.step % self.per_epoch:
            streams["order"] = self._order
        facts = {
            "step": self.step,
            "record": asdict(self.record),
            "meter": asdict(self.encoder.meter),
            "best": {"value": self._best.value, "step": self._best.step},
            "device": self.encoder.device.type,
            "micro_batch": self.encoder.micro_batch,
        }
        tensors = {
            "weights": self.encoder.named_parameters(),
            "optimizer": self._optimizer.state(),
            "method": self.method.state(),
            "streams": streams,
            "best": self._best.weights,
        }
        return State(facts, tensors)

    def load_state(self, state: State) -> None:
        """Resume from ``state``."""
        facts, tensors, device = state.facts, state.tensors, self.encoder.device
        self.step = facts["step"]
        self.record = Training.from_json(facts["record"])
        vars(self.encoder.meter).update(facts["meter"])
        _load_weights(self.encoder, tensors["weights"])
        self._optimizer.load_state(tensors["optimizer"])
        self.method.load_state({name: value.to(device) for name, value in tensors["method"].items()})
        self.streams.load_state(tensors["streams"])
        best = facts["best"]
        self._best.value, self._best.step, self._best.weights = best["value"], best["step"], tensors["best"]

    def _rest_of_epoch(self) -> Iterator[Batch]:
        """Return the remaining batches of the epoch."""
        self._order = self.streams.order.get_state()
        rows, size = self.data.training, self.protocol.batch_size
        done = self.step % self.per_epoch
        return shuffled(rows.tokens, rows.rows, size, self.streams.order, self.encoder.device, done)

    def _count_batch(self, loss: float, seconds: float, overflow: bool) -> None:
        """Count a batch; with ``overflow``, fp16 has left out its step, and the loss says nothing."""
        self.record.train_seconds += seconds
        self.step += 1
        if not math.isfinite(loss) and not overflow:
            cause = "the loss" if self.encoder.perturbations_finite() else "a perturbation"
            raise DivergenceError(
                f"{cause} is not finite at batch {self.step} of {self.batches} (loss {loss})"
            )

    def _check_passes(self, before: Meter, examples: int) -> None:
        """Check that a batch of ``examples`` took the declared passes, which budgets are made of.

        Raises:
            HarnessError: it took others, or passes over more or fewer examples.
        """
        declared = self.method.passes(self.method.arguments, self.encoder.regression)
        counted, passed = self.encoder.meter.since(before)
        if counted != declared:
            raise HarnessError(
                f"method {self.method.name} declares {declared.as_dict()} for a batch, but "
                f"{counted.as_dict()} were counted; correct its `passes`"
            )
        if passed != examples * declared.forward_equivalents:
            raise HarnessError(
                f"method {self.method.name} costs {passed} forward equivalents for {examples} examples, "
                f"expected {examples * declared.forward_equivalents}: each pass must compute the batch once"
            )

    def _evaluate_if_due(self, on_evaluation: Callable[[Evaluation], None]) -> None:
        """Evaluate the splits if it is time to, except those that were evaluated already."""
        due = (self.step - 1) % self.per_epoch + 1 in self._points or self.step == self.batches
        if self.step == 0 or not due:
            return
        done = {e.split for e in self.record.evaluations if e.step == self.step}
        for name, split in self._splits.items():
            if name not in done:
                self._evaluate(name, split, on_evaluation)

    def _evaluate(self, name: str, split: Split, on_evaluation: Callable[[Evaluation], None]) -> None:
        logits = self.evaluate(split)
        if not np.isfinite(logits).all():
            raise DivergenceError(f"a logit of the {name} split is not finite after batch {self.step}")
        metrics = scores(self.task, split.labels, logits)
        evaluation = Evaluation(name, self.step, self.step / self.per_epoch, metrics)
        self.record.evaluations.append(evaluation)
        selecting = {"best-on-selection": SELECTION, "best-on-report": self.task.primary_split}
        if name == selecting.get(self.protocol.selection):
            self._best.offer(metrics.get(self.task.primary_metric), self.step, self.encoder)
        on_evaluation(evaluation)


def train_batch(encoder: Encoder, method: Method, batch: Batch, optimizer: ScheduledOptimizer) -> float:
    """Let ``method`` take its step on one batch, advance the schedule, and return the loss."""
    with encoder.training_step(method.arguments.dropout):
        loss = float(method.step(encoder, batch, optimizer))
    optimizer.next_batch()
    return loss


def _load_weights(encoder: Encoder, weights: Mapping[str, Tensor]) -> None:
    """Copy ``weights`` into the encoder's parameters, in place: the optimizer holds the same tensors."""
    with torch.no_grad():
        for name, parameter in encoder.named_parameters().items():
            parameter.copy_(weights[name])
