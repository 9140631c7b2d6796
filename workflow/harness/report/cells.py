"""Cells: a table's rows and columns filled with the runs behind them, and the text of each."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

from harness.plan.tables import Column, TableSpec, columns_of, reference_of, rows_of
from harness.report.marks import LETTERS, MARKS, marks_of
from harness.report.values import RunRow, Value, run_values

DIGITS = {"percent": 1, "count": 0, "seconds": 1, "megabytes": 0, "ratio": 2}
AVERAGE = "average"
Runs = dict[tuple[str, str, str], list[RunRow]]
"""Task, model and variant to their runs."""


@dataclass(frozen=True)
class Cell:
    """A row, a column, and one value a planned run."""

    place: tuple[str, ...]
    """What the table is cut by: model, or task and model."""
    row: str
    column: Column
    values: list[Value]
    own_reference: bool = False
    """Whether a relative column would compare the row with itself, or has nothing to compare it with."""

    @property
    def marks(self) -> str:
        """The letters of all runs."""
        found: set[str] = set().union(*(marks_of(v) for v in self.values))
        return "".join(letter for letter in LETTERS if letter in found)

    def numbers(self, but: str = "") -> list[float]:
        """Return the values that are there, scores in percent, less runs that carry the mark ``but``."""
        scale = 100 if self.column.unit == "percent" else 1
        kept = [v for v in self.values if not (but and but in marks_of(v))]
        return [scale * v.number for v in kept if v.number is not None]


def by_cell(runs: list[RunRow]) -> Runs:
    """Return the runs of each task, model and variant."""
    grouped: Runs = defaultdict(list)
    for run in runs:
        grouped[run["task"], run["model"], run["variant"]].append(run)
    return grouped


def fill(spec: TableSpec, plan: dict[str, Any], runs: list[RunRow]) -> list[Cell]:
    """Return every cell of a table, place by place, row by row."""
    grouped = by_cell(runs)
    columns = [c for c in columns_of(spec, plan) if not c.optional or any(c.value in run for run in runs)]
    cells: list[Cell] = []
    for place in dict.fromkeys(tuple(cell[b] for b in spec.blocks) for cell in plan["cells"].values()):
        for row in rows_of(spec, plan):
            line = [_cell(spec, plan, grouped, place, row, column) for column in columns]
            cells += [*line, _average(spec, line)] if spec.average else line
    return cells


def _cell(
    spec: TableSpec, plan: dict[str, Any], grouped: Runs, place: tuple[str, ...], row: str, column: Column
) -> Cell:
    where = dict(zip(spec.blocks, place, strict=True))
    task, model = where.get("task") or str(column.task), where["model"]
    other = reference_of(spec, row)
    reference = grouped[task, model, other] if other else None
    values = run_values(column, grouped[task, model, row], reference, plan)
    return Cell(place, row, column, values, column.relative is not None and other in (None, row))


def _average(spec: TableSpec, line: list[Cell]) -> Cell:
    """Return the weighted average of a row's columns, seed by seed; a seed that lacks one has none."""
    weights = [cell.column.weight for cell in line]
    values = []
    for across in zip(*(cell.values for cell in line), strict=True):
        numbers = [v.number * w for v, w in zip(across, weights, strict=True) if v.number is not None]
        number = sum(numbers) / sum(weights) if len(numbers) == len(across) else None
        marks = frozenset[str]().union(*(marks_of(v) for v in across))
        values.append(Value({**across[0].run, "status": "ok"}, number, marks))
    return Cell(line[0].place, line[0].row, Column(title=str(spec.average), task=AVERAGE), values)


def aggregate(spec: TableSpec, numbers: list[float]) -> float:
    """Return the mean or the median."""
    return fmean(numbers) if spec.aggregation == "mean" else median(numbers)


def amount(spec: TableSpec, column: Column, numbers: list[float]) -> str:
    """Return ``76.2 ±0.8``: aggregate and spread, ``-`` without numbers."""

    def written(number: float) -> str:
        digits = DIGITS[column.unit]
        return f"{round(number, digits) + 0.0:,.{digits}f}"  # + 0.0: no negative zero

    text = written(aggregate(spec, numbers)) if numbers else "-"
    if len(numbers) > 1 and spec.spread == "sd":
        text += f" ±{written(stdev(numbers))}"
    if len(numbers) > 1 and spec.spread == "range":
        text += f" [{written(min(numbers))}, {written(max(numbers))}]"
    return text


def cell_text(spec: TableSpec, cell: Cell, sign: str = "", bold: bool = False) -> str:
    """Return ``76.2 ±0.8 † c (3/3)``: amount, sign of a test, marks, values there / runs planned."""
    if cell.own_reference:
        return "reference"
    numbers = cell.numbers()
    words = [amount(spec, cell.column, numbers), sign, cell.marks, f"({len(numbers)}/{len(cell.values)})"]
    text = " ".join(word for word in words if word)
    return f"**{text}**" if bold else text


def cell_facts(spec: TableSpec, cell: Cell) -> dict[str, Any]:
    """Return the cell's line of the CSV."""
    numbers = cell.numbers()
    facts: dict[str, Any] = dict(zip(spec.blocks, cell.place, strict=True))
    facts |= {"variant": cell.row, "column": cell.column.title, "unit": cell.column.unit}
    facts[spec.aggregation] = aggregate(spec, numbers) if numbers else None
    facts["sd"] = stdev(numbers) if len(numbers) > 1 else None
    facts |= {"smallest": min(numbers, default=None), "largest": max(numbers, default=None)}
    facts |= {"n": len(numbers), "planned": len(cell.values)}
    letters = [marks_of(v) for v in cell.values]
    return facts | {mark.word: sum(mark.letter in found for found in letters) for mark in MARKS}
