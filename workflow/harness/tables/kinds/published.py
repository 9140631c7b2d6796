"""The table of published numbers beside measured ones, and whether the two are comparable."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.config.base import Strict, check
from harness.config.plan_file import PlanFile, PlannedCell
from harness.config.protocol import Protocol
from harness.config.table import Column, TableSpec
from harness.config.yaml_loader import read_yaml
from harness.results.frame import RunRow
from harness.tables.cells import TableCell, by_cell, cell_text
from harness.tables.marks import mark_notes
from harness.tables.table import Block, Numbers, Table, new_table
from harness.tables.values import run_values
from harness.util.errors import ConfigErrors
from harness.util.paths import PUBLISHED

NONE, NOT_STATED = "not available", "not stated"
COLUMNS = ("published", "measured", "difference", "split", "protocol", "selection", "source")


class Number(Strict):
    """One published number, in the words of its source."""

    task: str
    model: str
    method: str
    split: str
    metric: str
    value: float | str = Field(description="percent; text if the source gives no number")
    selection: Literal["best-on-report", "last", "mean-of-last-5", "not stated"]
    seeds: int | None = Field(default=None, description="runs behind the number, if the source states them")
    settings: dict[str, Any] = Field(default={}, description="protocol values that the source states")
    source: str = Field(min_length=1, description="page or file with the number")
    note: str = ""


class Published(Strict):
    """``results/reference/published.yaml``: the numbers, and how their names translate to those used here."""

    tasks: dict[str, dict[str, str]] = Field(description="published task to task, and split to split")
    models: dict[str, str]
    methods: dict[str, list[str]]
    metrics: dict[str, str]
    numbers: list[Number]

    def of(self, task: str, model: str, variant: str) -> list[Number]:
        """Return the published numbers of a cell."""
        return [
            n
            for n in self.numbers
            if self.tasks.get(n.task, {}).get("task") == task
            and self.models.get(n.model) == model
            and variant in self.methods.get(n.method, [])
            and n.metric in self.metrics
            and isinstance(n.value, float)
        ]


@cache
def load_published(path: Path = PUBLISHED) -> Published:
    """Return the published numbers.

    Raises:
        ConfigErrors: all errors of the file, such as an entry without a source.
    """
    published, errors = check(Published, read_yaml(path), path)
    if published is None:
        raise ConfigErrors(errors)
    return published


@dataclass(frozen=True)
class Line:
    """One cell of the experiment beside one published number, or beside none."""

    model: str
    task: str
    variant: str
    metric: str
    measured: str
    published: str = NONE
    difference: str = "-"
    split: str = "-"
    """Whether splits, protocols and selection rules are the same; otherwise the difference."""
    protocol: str = "-"
    selection: str = "-"
    source: str = NONE


def published_table(name: str, spec: TableSpec, plan: PlanFile, runs: list[RunRow]) -> Table:
    """Return one block per model, one row for each cell and published number."""
    published = load_published()
    groups = by_cell(runs)
    lines: list[Line] = []
    measured: list[TableCell] = []
    for cell in plan.cells.values():
        numbers: list[Number | None] = [*published.of(cell.task, cell.model, cell.variant)]
        for number in numbers or [None]:
            beside = _measured(published, number, plan, cell, groups[cell.task, cell.model, cell.variant])
            measured.append(beside)
            lines.append(_line(published, number, spec, cell, beside))
    sources = list(dict.fromkeys(line.source for line in lines if line.source != NONE))
    marks = mark_notes(value for cell in measured for value in cell.values)
    return new_table(
        name,
        spec,
        plan,
        head=["variant", "task", *COLUMNS],
        blocks=_blocks(plan, lines, sources),
        numbers=[_numbers(line) for line in lines],
        notes=[*marks, *(f"[{i}] {source}" for i, source in enumerate(sources, 1))],
    )


def _blocks(plan: PlanFile, lines: list[Line], sources: list[str]) -> list[Block]:
    blocks = []
    for model, facts in plan.models.items():
        rows = []
        for line in lines:
            if line.model == model:
                source = f"[{sources.index(line.source) + 1}]" if line.source in sources else "-"
                title = f"{plan.tasks[line.task].title} ({line.metric})"
                rows.append([line.variant, title, *(getattr(line, c) for c in COLUMNS[:-1]), source])
        blocks.append(Block(facts.title, rows))
    return blocks


def _numbers(line: Line) -> Numbers:
    return {name: getattr(line, name) for name in ("model", "task", "variant", "metric", *COLUMNS)}


def _measured(
    published: Published, number: Number | None, plan: PlanFile, cell: PlannedCell, runs: list[RunRow]
) -> TableCell:
    """Return the cell's runs by the number's metric, on the number's split if it is a report split."""
    task = plan.tasks[cell.task]
    metric = published.metrics[number.metric] if number else task.primary_metric
    split = _split(published, number)
    column = Column(task=cell.task, split=split if split in task.report else task.report[0], metric=metric)
    return TableCell((cell.model,), cell.variant, column, run_values(column, runs, None, plan))


def _split(published: Published, number: Number | None) -> str | None:
    return published.tasks[number.task].get(number.split) if number else None


def _line(
    published: Published, number: Number | None, spec: TableSpec, cell: PlannedCell, beside: TableCell
) -> Line:
    line = Line(cell.model, cell.task, cell.variant, str(beside.column.metric), cell_text(spec, beside))
    if number is None:
        return line
    values = beside.numbers()
    same_split = _split(published, number) == beside.column.split
    return replace(
        line,
        published=f"{number.value:.2f}",
        difference=f"{sum(values) / len(values) - float(number.value):+.1f}" if values else "-",
        split="yes" if same_split else f"no: {number.split} against {beside.column.split}",
        protocol=_protocol(number, cell.protocol),
        selection=_selection(number, cell.protocol.selection),
        source=number.source,
    )


def _protocol(number: Number, protocol: Protocol) -> str:
    """Return whether the settings that the source states are those of the protocol."""
    if not number.settings:
        return NOT_STATED
    ours = {key: getattr(protocol, key, None) for key in number.settings}
    other = [f"{k} {v} against {ours[k]}" for k, v in number.settings.items() if ours[k] != v]
    return f"no: {', '.join(other)}" if other else f"yes, in {', '.join(number.settings)}"


def _selection(number: Number, rule: str) -> str:
    if number.selection == NOT_STATED:
        return NOT_STATED
    return "yes" if number.selection == rule else f"no: {number.selection} against {rule}"
