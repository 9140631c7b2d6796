"""Cells of a table: its rows and columns with the values of the runs behind them, and their texts."""

from collections import defaultdict
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev

from harness.config.plan_file import PlanFile, PlannedCell
from harness.config.table import Column, TableSpec
from harness.plan.outputs import columns_of, reference_of, rows_of
from harness.results.frame import RunRow
from harness.tables.marks import LETTERS, MARKS, marks_of
from harness.tables.table import Numbers
from harness.tables.values import Value, run_values

DIGITS = {"percent": 1, "count": 0, "seconds": 1, "megabytes": 0, "ratio": 2}
AVERAGE = "average"
Runs = dict[tuple[str, str, str], list[RunRow]]
"""Task, model and variant to their runs."""
Place = tuple[str, ...]
"""Names of a block: the model, or task and model."""


@dataclass(frozen=True)
class TableCell:
    """A row, a column, and one value per planned run."""

    place: Place
    row: str
    column: Column
    values: list[Value]
    is_reference: bool = False
    """Whether a relative column would compare the row with itself, or has no reference for it."""

    @property
    def marks(self) -> str:
        """The letters of all runs."""
        letters: set[str] = set().union(*(marks_of(v) for v in self.values))
        return "".join(letter for letter in LETTERS if letter in letters)

    def numbers(self, without: str = "") -> list[float]:
        """Return the values that exist, scores in percent, without runs that have the mark ``without``."""
        scale = 100 if self.column.unit == "percent" else 1
        values = [v for v in self.values if not (without and without in marks_of(v))]
        return [scale * v.number for v in values if v.number is not None]


def place_of(spec: TableSpec, cell: PlannedCell) -> Place:
    """Return the block that a planned cell belongs to."""
    return tuple(cell.task if block == "task" else cell.model for block in spec.blocks)


def place_title(spec: TableSpec, plan: PlanFile, place: Place) -> str:
    """Return the title of a block."""
    names = zip(spec.blocks, place, strict=True)
    return ", ".join(plan.tasks[n].title if block == "task" else plan.models[n].title for block, n in names)


def by_cell(runs: list[RunRow]) -> Runs:
    """Return the runs of each task, model and variant."""
    groups: Runs = defaultdict(list)
    for run in runs:
        groups[run.task, run.model, run.variant].append(run)
    return groups


def fill(spec: TableSpec, plan: PlanFile, runs: list[RunRow]) -> list[TableCell]:
    """Return every cell of a table, block by block, row by row."""
    groups = by_cell(runs)
    columns = [
        c for c in columns_of(spec, plan) if not c.optional or any(c.value in run.values for run in runs)
    ]
    cells: list[TableCell] = []
    for place in dict.fromkeys(place_of(spec, cell) for cell in plan.cells.values()):
        for row in rows_of(spec, plan):
            line = [_cell(spec, plan, groups, place, row, column) for column in columns]
            cells += [*line, _average(spec, line)] if spec.average else line
    return cells


def _cell(spec: TableSpec, plan: PlanFile, groups: Runs, place: Place, row: str, column: Column) -> TableCell:
    names: dict[str, str] = dict(zip(spec.blocks, place, strict=True))
    task, model = names.get("task") or str(column.task), names["model"]
    reference = reference_of(spec, plan, row)
    others = groups[task, model, reference] if reference else None
    values = run_values(column, groups[task, model, row], others, plan)
    is_reference = column.relative is not None and reference in (None, row)
    return TableCell(place, row, column, values, is_reference)


def _average(spec: TableSpec, line: list[TableCell]) -> TableCell:
    """Return the weighted average of a row's columns, seed by seed; a seed that lacks one has no average."""
    weights = [cell.column.weight for cell in line]
    values = []
    for across in zip(*(cell.values for cell in line), strict=True):
        numbers = [v.number * w for v, w in zip(across, weights, strict=True) if v.number is not None]
        number = sum(numbers) / sum(weights) if len(numbers) == len(across) else None
        marks = frozenset[str]().union(*(marks_of(v) for v in across))
        values.append(Value(replace(across[0].run, status="ok"), number, marks))
    return TableCell(line[0].place, line[0].row, Column(title=str(spec.average), task=AVERAGE), values)


def aggregate(spec: TableSpec, numbers: list[float]) -> float:
    """Return the mean or the median."""
    return fmean(numbers) if spec.aggregation == "mean" else median(numbers)


def amount(spec: TableSpec, column: Column, numbers: list[float]) -> str:
    """Return ``76.2 ±0.8``: aggregate and spread, or ``-`` without numbers."""
    digits = DIGITS[column.unit]

    def rounded(number: float) -> str:
        return f"{round(number, digits) + 0.0:,.{digits}f}"  # + 0.0: no negative zero

    text = rounded(aggregate(spec, numbers)) if numbers else "-"
    if len(numbers) > 1 and spec.spread == "sd":
        text += f" ±{rounded(stdev(numbers))}"
    if len(numbers) > 1 and spec.spread == "range":
        text += f" [{rounded(min(numbers))}, {rounded(max(numbers))}]"
    return text


def cell_text(spec: TableSpec, cell: TableCell, sign: str = "", bold: bool = False) -> str:
    """Return ``76.2 ±0.8 † c (3/3)``: amount, sign of a test, marks, values / planned runs."""
    if cell.is_reference:
        return "reference"
    numbers = cell.numbers()
    parts = [amount(spec, cell.column, numbers), sign, cell.marks, f"({len(numbers)}/{len(cell.values)})"]
    text = " ".join(part for part in parts if part)
    return f"**{text}**" if bold else text


def cell_numbers(spec: TableSpec, cell: TableCell) -> Numbers:
    """Return the cell's line of the CSV."""
    numbers, marks = cell.numbers(), [marks_of(v) for v in cell.values]
    return {
        **dict(zip(spec.blocks, cell.place, strict=True)),
        "variant": cell.row,
        "column": cell.column.title,
        "unit": cell.column.unit,
        spec.aggregation: aggregate(spec, numbers) if numbers else None,
        "sd": stdev(numbers) if len(numbers) > 1 else None,
        "smallest": min(numbers, default=None),
        "largest": max(numbers, default=None),
        "n": len(numbers),
        "planned": len(cell.values),
        **{mark.word: sum(mark.letter in letters for letters in marks) for mark in MARKS},
    }
