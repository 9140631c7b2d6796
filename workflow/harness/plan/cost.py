"""Cost: what a run will spend, in passes, known before it starts."""

import math

from harness.methods.interface import Passes
from harness.plan.grid import Cell


def batches(cell: Cell) -> int:
    """Return the number of training batches of a run."""
    rows = cell.task.rows[cell.task.train].count - cell.protocol.selection_rows
    rows = min(rows, cell.protocol.train_rows or rows)
    return math.ceil(rows / cell.protocol.batch_size) * cell.protocol.epochs


def training_passes(cell: Cell) -> Passes:
    """Return the passes that training one run of ``cell`` takes."""
    regression = cell.task.kind == "regression"
    return cell.method.passes(cell.method.arguments, regression).times(batches(cell))


def forward_equivalents(passes: Passes) -> float:
    """Return passes in units of one forward: a backward counts 2, one to the input alone 1."""
    return passes.forward + 2 * passes.backward + passes.input_backward
