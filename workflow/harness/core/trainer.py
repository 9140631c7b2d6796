"""The training loop: batches in, method steps, evaluations; it stops and goes on between any two batches."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np

from harness.core.batches import shuffled
from harness.core.best import Best
from harness.core.encoder import Encoder
from harness.core.evaluate import logits_of
from harness.core.loop import SELECTION, Data, DivergenceError, Evaluation, Split, Training, train_batch
from harness.core.metrics import scores
from harness.core.state import State, put_weights
from harness.core.streams import Streams
from harness.core.update import Update
from harness.methods.interface import Batch, Method
from harness.plan.protocol import EVALUATION_BATCH, Protocol
from harness.plan.task import Task


class Trainer:
    """The training of one run; what ``state`` returns between two batches is all that going on takes."""

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
        """Take over a fresh encoder; ``check`` is called between batches and may raise Interrupted."""
        self.encoder, self.method = encoder, method
        self.task, self.protocol = task, protocol
        self.streams, self.data, self.check = streams, data, check
        self.record = Training()
        self.step = 0
        self.per_epoch = math.ceil(len(data.training.rows) / protocol.batch_size)
        self.batches = protocol.steps or self.per_epoch * protocol.epochs
        self._update = Update(encoder.network, protocol, self.batches, encoder.meter, encoder.loss_scale)
        self._best = Best()
        self._order = streams.order.get_state()
        self._watched = data.watched(task, protocol)
        points = range(1, protocol.evaluations_per_epoch + 1)
        self._points = {math.ceil(self.per_epoch * k / protocol.evaluations_per_epoch) for k in points}

    def run(self, on_batch: Callable[[float], None], on_evaluation: Callable[[Evaluation], None]) -> None:
        """Train to the end and leave the weights that the selection rule chooses.

        After each batch ``on_evaluation`` is told of each evaluation, and ``on_batch`` the loss.

        Raises:
            DivergenceError: a loss is not finite; the weights are then worth nothing.
            Interrupted: ``check`` raised it.
        """
        self._evaluate_due(on_evaluation)  # what an interrupted try still owed
        while self.step < self.batches:
            for batch in self._rest_of_epoch():
                loss = self._train(batch)
                self._evaluate_due(on_evaluation)
                on_batch(loss)
                self.check()
                if self.step == self.batches:
                    break
        self.record.chosen_step = self._best.restore(self.encoder) if self._best.weights else self.step

    def evaluate(self, split: Split) -> np.ndarray:
        """Return the logits of a split, [n, C]; time and passes are added to the record."""
        start = time.perf_counter()
        logits, passes = logits_of(self.encoder, split.tokens, split.rows, EVALUATION_BATCH, self.check)
        self.record.evaluation_seconds += time.perf_counter() - start
        self.record.evaluation_passes += passes
        return logits

    def state(self) -> State:
        """Return where the training stands; the order stream as it was when the epoch began."""
        streams = self.streams.state()
        if self.step % self.per_epoch:
            streams["order"] = self._order
        facts = {
            "step": self.step,
            "record": asdict(self.record),
            "meter": asdict(self.encoder.meter),
            "best": self._best.facts(),
            "device": self.encoder.device.type,
            "micro_batch": self.encoder.micro_batch,
        }
        tensors = {
            "weights": self.encoder.named_parameters(),
            "optimizer": self._update.state(),
            "method": self.method.state(),
            "streams": streams,
            "best": self._best.weights,
        }
        return State(facts, tensors)

    def load_state(self, state: State) -> None:
        """Go back to where ``state`` was taken."""
        facts, tensors, device = state.facts, state.tensors, self.encoder.device
        self.step = facts["step"]
        self.record = Training.from_json(facts["record"])
        vars(self.encoder.meter).update(facts["meter"])
        put_weights(self.encoder, tensors["weights"])
        self._update.load_state(tensors["optimizer"])
        self.method.load_state({name: value.to(device) for name, value in tensors["method"].items()})
        self.streams.load_state(tensors["streams"])
        self._best.load_state(facts["best"], tensors["best"])

    def _rest_of_epoch(self) -> Iterator[Batch]:
        """Return the epoch's batches that are still to come."""
        self._order = self.streams.order.get_state()
        rows, size = self.data.training, self.protocol.batch_size
        done = self.step % self.per_epoch
        return shuffled(rows.tokens, rows.rows, size, self.streams.order, self.encoder.device, done)

    def _train(self, batch: Batch) -> float:
        start = time.perf_counter()
        loss = train_batch(self.encoder, self.method, batch, self._update)
        self.record.train_seconds += time.perf_counter() - start
        self.step += 1
        if not math.isfinite(loss):
            cause = "the loss" if self.encoder.perturbations_finite() else "a perturbation"
            raise DivergenceError(
                f"{cause} is not finite at batch {self.step} of {self.batches} (loss {loss})"
            )
        return loss

    def _evaluate_due(self, on_evaluation: Callable[[Evaluation], None]) -> None:
        """Evaluate the watched splits if it is time to, less those that were evaluated already."""
        due = (self.step - 1) % self.per_epoch + 1 in self._points or self.step == self.batches
        if self.step == 0 or not due:
            return
        done = {e.split for e in self.record.evaluations if e.step == self.step}
        for name, split in self._watched.items():
            if name not in done:
                self._evaluate(name, split, on_evaluation)

    def _evaluate(self, name: str, split: Split, on_evaluation: Callable[[Evaluation], None]) -> None:
        logits = self.evaluate(split)
        if not np.isfinite(logits).all():
            raise DivergenceError(f"a logit of the {name} split is not finite after batch {self.step}")
        epoch = self.step / self.per_epoch
        found = Evaluation(name, self.step, epoch, scores(self.task, split.labels, logits))
        self.record.evaluations.append(found)
        chooser = {"best-on-selection": SELECTION, "best-on-report": self.task.ranked}
        if name == chooser.get(self.protocol.selection):
            self._best.offer(found.metrics.get(self.task.rank), self.step, self.encoder)
        on_evaluation(found)
