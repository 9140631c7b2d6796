"""Tables of measured values: rows are variants, each cell the runs of one variant."""

from typing import Any

from harness.plan.tables import TableSpec
from harness.report.cells import AVERAGE, Cell, amount, cell_facts, cell_text, fill
from harness.report.claims import METHOD, MODELS, Claims, Statistics, claims_of, key_of
from harness.report.flags import column_flags, place_title
from harness.report.marks import mark_notes
from harness.report.table import Block, Table
from harness.report.values import RunRow

SPREADS = {"sd": " ± sample standard deviation", "range": " [smallest, largest]", "none": ""}
BETTER = {"": "", METHOD: "method", MODELS: "models"}
DONE = ("ok", "collapsed", "diverged")


def measured_table(
    name: str, spec: TableSpec, plan: dict[str, Any], runs: list[RunRow], statistics: Statistics
) -> Table:
    """Return a table of ``runs``, the rows of the frame; ``plan`` is the content of plan.json."""
    cells = fill(spec, plan, runs)
    claims = claims_of(spec, plan, cells, statistics) if spec.tested else Claims()
    columns = list(dict.fromkeys(cell.column.title for cell in cells))
    flags, flag_notes = column_flags(spec, plan, cells)
    return Table(
        name=name,
        title=f"{plan['experiment']['title']}: {spec.title}",
        about=spec.about,
        banner=plan["experiment"]["banner"],
        cut=", ".join(spec.blocks),
        head=["variant", *(f"{title} {flags.get(title, '')}".rstrip() for title in columns)],
        blocks=_blocks(spec, plan, cells, columns, claims),
        numbers=[cell_facts(spec, cell) | _tested(spec, cell, claims) for cell in cells],
        notes=[_reading(spec, runs), *claims.notes, *flag_notes, *_notes(spec, plan, cells)],
    )


def _tested(spec: TableSpec, cell: Cell, claims: Claims) -> dict[str, Any]:
    """Return what the tests say of a cell, for the CSV."""
    if not spec.tested:
        return {}
    key = key_of(cell)
    return {"best": int(key in claims.best), "better": BETTER[claims.better.get(key, "")]}


def _blocks(
    spec: TableSpec, plan: dict[str, Any], cells: list[Cell], columns: list[str], claims: Claims
) -> list[Block]:
    texts = {
        key_of(c): cell_text(spec, c, claims.better.get(key_of(c), ""), key_of(c) in claims.best)
        for c in cells
    }
    rows = list(dict.fromkeys(cell.row for cell in cells))
    return [
        Block(
            place_title(spec, plan, place),
            [[row, *(texts[place, row, title] for title in columns)] for row in rows],
        )
        for place in dict.fromkeys(cell.place for cell in cells)
    ]


def _reading(spec: TableSpec, runs: list[RunRow]) -> str:
    done = sum(run["status"] in DONE for run in runs)
    return (
        f"{done} of {len(runs)} runs. Scores in percent; {spec.aggregation}{SPREADS[spec.spread]} over seeds "
        "(runs with a value / runs planned)."
    )


def _notes(spec: TableSpec, plan: dict[str, Any], cells: list[Cell]) -> list[str]:
    """Return what the letters mean, the cells without collapsed runs, and the columns that are left out."""
    notes = mark_notes(v for cell in cells if cell.column.task != AVERAGE for v in cell.values)
    if without := [_without_collapsed(spec, plan, cell) for cell in cells if _holds_collapsed(cell)]:
        notes.append(f"Without collapsed runs: {'; '.join(without)}.")
    absent = [c.title or str(c.task) for c in spec.columns if c.task not in (None, "all", *plan["tasks"])]
    if absent:
        average = ", nor in the average" if spec.average else ""
        notes.append(f"Not in this experiment{average}: {', '.join(absent)}.")
    return notes


def _holds_collapsed(cell: Cell) -> bool:
    return "c" in cell.marks and cell.column.unit == "percent" and not cell.own_reference


def _without_collapsed(spec: TableSpec, plan: dict[str, Any], cell: Cell) -> str:
    numbers = cell.numbers(but="c")
    text = f"{amount(spec, cell.column, numbers)} ({len(numbers)}/{len(cell.values)})"
    return f"{place_title(spec, plan, cell.place)}, {cell.row}, {cell.column.title}: {text}"
