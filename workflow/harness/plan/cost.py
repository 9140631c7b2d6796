"""Cost of a run in forward equivalents and GPU-hours, estimated before it starts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.methods.interface import PassCount
from harness.plan.grid import Cell


def batches_per_epoch(cell: Cell) -> int | None:
    """Return the number of training batches per epoch, or None if the row count is unknown."""
    rows = training_rows(cell)
    return None if rows is None else math.ceil(rows / cell.protocol.batch_size)


def training_rows(cell: Cell) -> int | None:
    """Return the number of training rows, or None if the row count is unknown."""
    rows = cell.task.count(cell.task.train)
    if rows is None:
        return None
    available = rows - cell.protocol.selection_rows
    return min(available, cell.protocol.train_rows or available)


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


def training_examples(cell: Cell) -> int | None:
    """Return the examples of all training batches, or None if the row count is unknown."""
    rows, count, per_epoch = training_rows(cell), batches(cell), batches_per_epoch(cell)
    if rows is None or count is None or per_epoch is None:
        return None
    epochs, rest = divmod(count, per_epoch)
    return epochs * rows + min(rest * cell.protocol.batch_size, rows)


def training_cost(cell: Cell) -> int | None:
    """Return the cost of training in forward equivalents of examples, or None if the row count is unknown."""
    examples = training_examples(cell)
    if examples is None:
        return None
    passes = cell.method.passes(cell.method.arguments, cell.task.kind == "regression")
    return examples * passes.forward_equivalents


def trial_cost(cells: Sequence[Cell], seeds: int) -> int | None:
    """Return the cost of a trial, which trains each cell with each seed, or None if it is unknown."""
    costs = [training_cost(cell) for cell in cells]
    known = [cost for cost in costs if cost is not None]
    return seeds * sum(known) if len(known) == len(costs) else None


def evaluation_points(cell: Cell) -> int | None:
    """Return the largest number of evaluations during training, or None if the row count is unknown."""
    per_epoch, total = batches_per_epoch(cell), batches(cell)
    if per_epoch is None or total is None:
        return None
    return min(per_epoch, cell.protocol.evaluations_per_epoch) * math.ceil(total / per_epoch)


def evaluation_examples(cell: Cell) -> int | None:
    """Return the examples in all evaluations of a run, or None if a row count is unknown."""
    points = evaluation_points(cell)
    counts = {split: cell.task.count(split) for split in cell.task.report}
    if points is None or None in counts.values():
        return None
    per_point = cell.protocol.selection_rows
    if cell.protocol.record_report_curve or cell.protocol.selection == "best-on-report":
        per_point += counts[cell.task.primary_split] or 0
    return per_point * points + sum(count or 0 for count in counts.values())


@dataclass(frozen=True)
class Cost:
    """Estimated cost of one run. A value is None if row counts or the model size are unknown."""

    training: PassCount | None
    forward_equivalents: int | None
    """Training cost in units of one forward pass of one example."""
    evaluation: int | None
    """Examples in all evaluations."""
    gpu_hours: float | None


def cost_of(cell: Cell, tflops: float) -> Cost:
    """Return the cost of one run of ``cell`` on a GPU that sustains ``tflops`` (TFLOP/s).

    A forward pass takes two operations per weight of the encoder's matrices and per token. The tokens per
    example are the task's mean, or the maximum length if the task states no mean.
    """
    passes, training, evaluation = training_passes(cell), training_cost(cell), evaluation_examples(cell)
    weights = cell.model.encoder_parameters
    if training is None or evaluation is None or weights is None:
        return Cost(passes, training, evaluation, None)
    tokens = min(cell.task.tokens or cell.protocol.max_length, cell.protocol.max_length)
    operations = 2 * weights * tokens * (training + evaluation)
    return Cost(passes, training, evaluation, operations / (tflops * 1e12) / 3600)
