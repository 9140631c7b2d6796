"""Published numbers beside measured ones, and whether the two can be compared."""

from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.errors import MistakesError
from harness.paths import ROOT
from harness.plan.strict import Strict, check
from harness.plan.tables import Column, TableSpec
from harness.plan.yamlfile import read_yaml
from harness.report.cells import Cell, by_cell, cell_text
from harness.report.marks import mark_notes
from harness.report.table import Block, Table
from harness.report.values import RunRow, run_values

FILE = ROOT / "results" / "reference" / "published.yaml"
NONE, UNSTATED = "not available", "not stated"
FACTS = ("published", "measured", "difference", "split", "protocol", "selection", "source")


class Number(Strict):
    """One published number, in its source's own words."""

    task: str
    model: str
    method: str
    split: str
    metric: str
    value: float | str = Field(description="percent; words where the source gives no number")
    selection: Literal["best-on-report", "last", "mean-of-last-5", "not stated"]
    seeds: int | None = Field(default=None, description="runs behind the number, where the source tells")
    settings: dict[str, Any] = Field(default={}, description="protocol values that the source states")
    source: str = Field(min_length=1, description="page or file that the number was read from")
    note: str = ""


class Published(Strict):
    """``results/reference/published.yaml``: the numbers, and what their names are here."""

    tasks: dict[str, dict[str, str]] = Field(description="published task to task, and split to split")
    models: dict[str, str]
    methods: dict[str, list[str]]
    metrics: dict[str, str]
    numbers: list[Number]

    def of(self, task: str, model: str, variant: str) -> list[Number]:
        """Return the numbers that are known for a cell."""
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
def load_published(path: Path = FILE) -> Published:
    """Return the published numbers.

    Raises:
        MistakesError: an entry lacks its source, or holds anything else that is wrong.
    """
    found, mistakes = check(Published, read_yaml(path), path)
    if found is None:
        raise MistakesError(mistakes)
    return found


def published_table(name: str, spec: TableSpec, plan: dict[str, Any], runs: list[RunRow]) -> Table:
    """Return one block a model, one row for each cell and published number."""
    known = load_published()
    grouped = by_cell(runs)
    lines, measured = [], []
    for cell in plan["cells"].values():
        numbers: list[Number | None] = [*known.of(cell["task"], cell["model"], cell["variant"])]
        for number in numbers or [None]:
            own = grouped[cell["task"], cell["model"], cell["variant"]]
            beside = _measured(known, number, plan, cell, own)
            measured.append(beside)
            lines.append(_line(known, number, spec, cell, beside))
    sources = list(dict.fromkeys(line["source"] for line in lines if line["source"] != NONE))
    marks = mark_notes(value for cell in measured for value in cell.values)
    return Table(
        name=name,
        title=f"{plan['experiment']['title']}: {spec.title}",
        about=spec.about,
        banner=plan["experiment"]["banner"],
        cut="model",
        head=["variant", "task", *FACTS],
        blocks=_blocks(plan, lines, sources),
        numbers=lines,
        notes=[*marks, *(f"[{i}] {source}" for i, source in enumerate(sources, 1))],
    )


def _blocks(plan: dict[str, Any], lines: list[dict[str, Any]], sources: list[str]) -> list[Block]:
    blocks = []
    for model, facts in plan["models"].items():
        rows = []
        for line in lines:
            if line["model"] == model:
                source = f"[{sources.index(line['source']) + 1}]" if line["source"] in sources else "-"
                title = f"{plan['tasks'][line['task']]['title']} ({line['metric']})"
                rows.append([line["variant"], title, *(line[key] for key in FACTS[:-1]), source])
        blocks.append(Block(facts["title"], rows))
    return blocks


def _measured(
    known: Published, number: Number | None, plan: dict[str, Any], cell: dict[str, Any], runs: list[RunRow]
) -> Cell:
    """Return the cell's runs under the number's metric, and its split where that is reported."""
    task = plan["tasks"][cell["task"]]
    metric = known.metrics[number.metric] if number else task["rank"]
    split = _split(known, number)
    column = Column(
        task=cell["task"], split=split if split in task["report"] else task["report"][0], metric=metric
    )
    return Cell((cell["model"],), cell["variant"], column, run_values(column, runs, None, plan))


def _split(known: Published, number: Number | None) -> str | None:
    return known.tasks[number.task].get(number.split) if number else None


def _line(
    known: Published, number: Number | None, spec: TableSpec, cell: dict[str, Any], beside: Cell
) -> dict[str, Any]:
    line = {"model": cell["model"], "task": cell["task"], "variant": cell["variant"]}
    line |= {
        "metric": str(beside.column.metric),
        "measured": cell_text(spec, beside),
    }
    if number is None:
        return line | {"published": NONE, "source": NONE} | dict.fromkeys(FACTS[2:6], "-")
    values = beside.numbers()
    difference = f"{sum(values) / len(values) - float(number.value):+.1f}" if values else "-"
    split = _split(known, number)
    same_split = split == beside.column.split
    return line | {
        "published": f"{number.value:.2f}",
        "difference": difference,
        "split": "yes" if same_split else f"no: {number.split} against {beside.column.split}",
        "protocol": _protocol(number, cell["protocol"]),
        "selection": _selection(number, cell["protocol"]["selection"]),
        "source": number.source,
    }


def _protocol(number: Number, ours: dict[str, Any]) -> str:
    """Return whether the settings that the source states are ours."""
    if not number.settings:
        return UNSTATED
    other = [f"{k} {v} against {ours.get(k)}" for k, v in number.settings.items() if ours.get(k) != v]
    return f"no: {', '.join(other)}" if other else f"yes, in {', '.join(number.settings)}"


def _selection(number: Number, ours: str) -> str:
    if number.selection == UNSTATED:
        return UNSTATED
    return "yes" if number.selection == ours else f"no: {number.selection} against {ours}"
