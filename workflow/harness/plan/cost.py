"""Cost of a run in passes and GPU-hours, estimated before it starts."""

import math
from dataclasses import dataclass

from harness.config.protocol import EVALUATION_BATCH
from harness.methods.interface import PassCount
from harness.plan.grid import Cell


def batches_per_epoch(cell: Cell) -> int | None:
    """Return the number of training batches per epoch, or None if the row count is unknown."""
    rows = cell.task.count(cell.task.train)
    if rows is None:
        return None
    available = rows - cell.protocol.selection_rows
    return math.ceil(min(available, cell.protocol.train_rows or available) / cell.protocol.batch_size)


def batches(cell: Cell) -> int | None:
    """Return the number of training batches of a run, or None if the row count is unknown."""
    if cell.protocol.steps is not None:
        return cell.protocol.steps
    per_epoch = batches_per_epoch(cell)
    return None if per_epoch is None else per_epoch * cell.protocol.epochs


def training_passes(cell: Cell) -> PassCount | None:
    """Return the training passes of one run of ``cell``, or None if the row count is unknown."""
    regression, count = cell.task.kind == "regression", batches(cell)
    return None if count is None else cell.method.passes(cell.method.arguments, regression).times(count)


def evaluation_points(cell: Cell) -> int | None:
    """Return the largest number of evaluations during training, or None if the row count is unknown."""
    per_epoch, total = batches_per_epoch(cell), batches(cell)
    if per_epoch is None or total is None:
        return None
    return min(per_epoch, cell.protocol.evaluations_per_epoch) * math.ceil(total / per_epoch)


def evaluation_passes(cell: Cell) -> int | None:
    """Return the forward passes of all evaluations of a run, or None if a row count is unknown."""
    points = evaluation_points(cell)
    counts = {split: cell.task.count(split) for split in cell.task.report}
    if points is None or None in counts.values():
        return None
    passes = {split: math.ceil((count or 0) / EVALUATION_BATCH) for split, count in counts.items()}
    per_point = math.ceil(cell.protocol.selection_rows / EVALUATION_BATCH)
    if cell.protocol.record_report_curve or cell.protocol.selection == "best-on-report":
        per_point += passes[cell.task.primary_split]
    return per_point * points + sum(passes.values())


@dataclass(frozen=True)
class Cost:
    """Estimated cost of one run. A value is None if row counts or the model size are unknown."""

    training: PassCount | None
    evaluation: int | None
    gpu_hours: float | None

    @property
    def forward_equivalents(self) -> float | None:
        """Training cost in units of one forward pass of a training batch."""
        return None if self.training is None else float(self.training.forward_equivalents)


def cost_of(cell: Cell, tflops: float) -> Cost:
    """Return the cost of one run of ``cell`` on a GPU that sustains ``tflops`` (TFLOP/s).

    A forward pass takes two operations per weight of the encoder's matrices and per token. The tokens per
    example are the task's mean, or the maximum length if the task states no mean.
    """
    training, evaluation = training_passes(cell), evaluation_passes(cell)
    weights = cell.model.encoder_parameters
    if training is None or evaluation is None or weights is None:
        return Cost(training, evaluation, None)
    tokens = min(cell.task.tokens or cell.protocol.max_length, cell.protocol.max_length)
    examples = training.forward_equivalents * cell.protocol.batch_size + evaluation * EVALUATION_BATCH
    return Cost(training, evaluation, 2 * weights * tokens * examples / (tflops * 1e12) / 3600)
