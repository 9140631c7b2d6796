"""Tables of scores and other values of runs: rows are variants, each cell the runs of one variant."""

from harness.config.plan_file import PlanFile
from harness.config.table import TableSpec
from harness.results.frame import RunRow
from harness.results.statistics_file import Statistics
from harness.tables.cells import AVERAGE, TableCell, amount, cell_numbers, cell_text, fill, place_title
from harness.tables.column_flags import column_flags
from harness.tables.marks import mark_notes
from harness.tables.significance import (
    METHOD,
    MODELS,
    WORSE_METHOD,
    WORSE_MODELS,
    Significance,
    key_of,
    significance_of,
)
from harness.tables.table import Block, Numbers, Table, new_table

SPREADS = {"sd": " ± sample standard deviation", "range": " [smallest, largest]", "none": ""}
SIGNS = {"": "", METHOD: "method", MODELS: "models", WORSE_METHOD: "method", WORSE_MODELS: "models"}
DONE = ("ok", "collapsed", "diverged")


def scores_table(
    name: str, spec: TableSpec, plan: PlanFile, runs: list[RunRow], statistics: Statistics
) -> Table:
    """Return a table of the values of ``runs``."""
    cells = fill(spec, plan, runs)
    significance = significance_of(spec, plan, cells, statistics) if spec.tested else Significance()
    columns = list(dict.fromkeys(cell.column.title for cell in cells))
    flags, flag_notes = column_flags(spec, plan, cells)
    return new_table(
        name,
        spec,
        plan,
        head=["variant", *(f"{title} {flags.get(title, '')}".rstrip() for title in columns)],
        blocks=_blocks(spec, plan, cells, columns, significance),
        numbers=[{**cell_numbers(spec, cell), **_tested(spec, cell, significance)} for cell in cells],
        notes=[_summary(spec, runs), *significance.notes, *flag_notes, *_notes(spec, plan, cells)],
        blocked_by=", ".join(spec.blocks),
    )


def _tested(spec: TableSpec, cell: TableCell, significance: Significance) -> Numbers:
    """Return the results of the tests of a cell, for the CSV."""
    if not spec.tested:
        return {}
    key = key_of(cell)
    sign = significance.signs.get(key, "")
    columns = {"better": (METHOD, MODELS), "worse": (WORSE_METHOD, WORSE_MODELS)}
    return {
        "best": int(key in significance.best),
        **{name: SIGNS[sign] if sign in signs else "" for name, signs in columns.items()},
    }


def _blocks(
    spec: TableSpec, plan: PlanFile, cells: list[TableCell], columns: list[str], significance: Significance
) -> list[Block]:
    texts = {
        key: cell_text(spec, cell, significance.signs.get(key, ""), key in significance.best)
        for cell in cells
        for key in [key_of(cell)]
    }
    rows = list(dict.fromkeys(cell.row for cell in cells))
    return [
        Block(
            place_title(spec, plan, place),
            [[row, *(texts[place, row, title] for title in columns)] for row in rows],
        )
        for place in dict.fromkeys(cell.place for cell in cells)
    ]


def _summary(spec: TableSpec, runs: list[RunRow]) -> str:
    done = sum(run.status in DONE for run in runs)
    return (
        f"{done} of {len(runs)} runs. Scores in percent; {spec.aggregation}{SPREADS[spec.spread]} over seeds "
        "(runs with a value / planned runs)."
    )


def _notes(spec: TableSpec, plan: PlanFile, cells: list[TableCell]) -> list[str]:
    """Return the notes on marks, on cells without diverged or collapsed runs, and on columns left out."""
    notes = mark_notes(v for cell in cells if cell.column.task != AVERAGE for v in cell.values)
    for letter, name in (("d", "diverged"), ("c", "collapsed")):
        marked = [cell for cell in cells if _has(cell, letter)]
        if without := [_without(spec, plan, cell, letter) for cell in marked]:
            notes.append(f"Without {name} runs: {'; '.join(without)}.")
    absent = [c.title or str(c.task) for c in spec.columns if c.task not in (None, "all", *plan.tasks)]
    if absent:
        average = ", nor in the average" if spec.average else ""
        notes.append(f"Not in this experiment{average}: {', '.join(absent)}.")
    return notes


def _has(cell: TableCell, letter: str) -> bool:
    return letter in cell.marks and cell.column.unit == "percent" and not cell.is_reference


def _without(spec: TableSpec, plan: PlanFile, cell: TableCell, letter: str) -> str:
    numbers = cell.numbers(without=letter)
    text = f"{amount(spec, cell.column, numbers)} ({len(numbers)}/{len(cell.values)})"
    return f"{place_title(spec, plan, cell.place)}, {cell.row}, {cell.column.title}: {text}"
