"""What a training works on and leaves behind, and one batch of it (the loop is ``harness.core.trainer``)."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.core.encoder import Encoder
from harness.core.update import Update
from harness.inputs.tokens import Tokens
from harness.methods.interface import Batch, Method
from harness.plan.protocol import Protocol
from harness.plan.task import Task

SELECTION = "selection"


class DivergenceError(Exception):
    """A loss or a logit is NaN or infinite; training further would compute nothing."""


class Interrupted(Exception):  # noqa: N818 - no error: the training's state is whole
    """The training was asked to stop between two batches."""


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

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Training":
        """Return the record that ``dataclasses.asdict`` turned into ``content``."""
        return cls(**{**content, "evaluations": [Evaluation(**e) for e in content["evaluations"]]})


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


def train_batch(encoder: Encoder, method: Method, batch: Batch, update: Update) -> float:
    """Let ``method`` take its step on one batch, move the schedule on, and return the loss."""
    with encoder.training_step(method.arguments.dropout):
        loss = float(method.step(encoder, batch, update))
    update.next_batch()
    return loss
