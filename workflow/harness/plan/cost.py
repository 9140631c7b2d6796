"""Cost: what a run will spend, in passes and GPU-hours, estimated before it starts."""

import math
from dataclasses import dataclass

from harness.methods.interface import Passes
from harness.plan.grid import Cell
from harness.plan.protocol import EVALUATION_BATCH


def batches_per_epoch(cell: Cell) -> int | None:
    """Return the number of training batches of an epoch, None while the rows are not counted."""
    rows = cell.task.count(cell.task.train)
    if rows is None:
        return None
    left = rows - cell.protocol.selection_rows
    return math.ceil(min(left, cell.protocol.train_rows or left) / cell.protocol.batch_size)


def batches(cell: Cell) -> int | None:
    """Return the number of training batches of a run, None while the rows are not counted."""
    if cell.protocol.steps is not None:
        return cell.protocol.steps
    each = batches_per_epoch(cell)
    return None if each is None else each * cell.protocol.epochs


def training_passes(cell: Cell) -> Passes | None:
    """Return the passes that training one run of ``cell`` takes, None while the rows are not counted."""
    regression, count = cell.task.kind == "regression", batches(cell)
    return None if count is None else cell.method.passes(cell.method.arguments, regression).times(count)


def evaluation_points(cell: Cell) -> int | None:
    """Return how often a run is evaluated along the way, at most; None while the rows are not counted."""
    each, total = batches_per_epoch(cell), batches(cell)
    if each is None or total is None:
        return None
    return min(each, cell.protocol.evaluations_per_epoch) * math.ceil(total / each)


def evaluation_passes(cell: Cell) -> int | None:
    """Return the forward passes of a run's evaluations, along the way and at its end."""
    points = evaluation_points(cell)
    counts = {split: cell.task.count(split) for split in cell.task.report}
    if points is None or None in counts.values():
        return None
    passes = {split: math.ceil((count or 0) / EVALUATION_BATCH) for split, count in counts.items()}
    along = math.ceil(cell.protocol.selection_rows / EVALUATION_BATCH)
    if cell.protocol.record_report_curve or cell.protocol.selection == "best-on-report":
        along += passes[cell.task.ranked]
    return along * points + sum(passes.values())


def forward_equivalents(passes: Passes) -> float:
    """Return passes in units of one forward: a backward counts 2, one to the input alone 1."""
    return passes.forward + 2 * passes.backward + passes.input_backward


@dataclass(frozen=True)
class Cost:
    """What one run is estimated to spend; None where rows or sizes are not known."""

    training: Passes | None
    evaluation: int | None
    gpu_hours: float | None

    @property
    def worth(self) -> float | None:
        """Training in units of one forward pass of a training batch."""
        return None if self.training is None else forward_equivalents(self.training)


def cost_of(cell: Cell, tflops: float) -> Cost:
    """Return the cost of one run of ``cell`` on a GPU that sustains ``tflops``.

    A forward pass takes two operations for each weight of the encoder's matrices and each real token;
    tokens are the task's mean, or the maximum length where it states none.
    """
    training, evaluation = training_passes(cell), evaluation_passes(cell)
    weights = cell.model.encoder_parameters
    if training is None or evaluation is None or weights is None:
        return Cost(training, evaluation, None)
    tokens = min(cell.task.tokens or cell.protocol.max_length, cell.protocol.max_length)
    texts = forward_equivalents(training) * cell.protocol.batch_size + evaluation * EVALUATION_BATCH
    return Cost(training, evaluation, 2 * weights * tokens * texts / (tflops * 1e12) / 3600)
