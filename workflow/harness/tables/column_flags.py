"""Flags of columns whose cells are not comparable: unequal numbers of runs, unequal protocols."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TypeVar

from harness.config.plan_file import PlanFile
from harness.config.protocol import Protocol
from harness.config.table import TableSpec
from harness.tables.cells import AVERAGE, Place, TableCell, place_title

UNEQUAL_N, UNEQUAL_PROTOCOL = "§", "¶"
T = TypeVar("T")
MEANINGS = {UNEQUAL_N: "unequal n", UNEQUAL_PROTOCOL: "unequal protocol"}


def column_flags(spec: TableSpec, plan: PlanFile, cells: list[TableCell]) -> tuple[dict[str, str], list[str]]:
    """Return the flags of each column by its title, and one sentence for each flag that occurs."""
    columns: dict[tuple[Place, str], list[TableCell]] = defaultdict(list)
    for cell in cells:
        if not cell.is_reference:
            columns[cell.place, cell.column.title].append(cell)
    flags: dict[str, set[str]] = defaultdict(set)
    # Flag to the difference, to the block, to the titles of its columns.
    reasons: dict[str, dict[str, dict[str, list[str]]]] = {flag: {} for flag in MEANINGS}
    for (place, title), column in columns.items():
        block = place_title(spec, plan, place)
        differences = {UNEQUAL_N: _unequal_n(column), UNEQUAL_PROTOCOL: _unequal_protocol(plan, column)}
        for flag, difference in differences.items():
            if difference:
                flags[title].add(flag)
                reasons[flag].setdefault(difference, {}).setdefault(block, []).append(title)
    texts = {title: "".join(sorted(letters)) for title, letters in flags.items()}
    return texts, [f"{flag} = {MEANINGS[flag]}: {_where(why)}." for flag, why in reasons.items() if why]


def _where(reasons: dict[str, dict[str, list[str]]]) -> str:
    """Return ``3, but 2 for mat (BERT: CoLA, RTE)``; columns with the same difference are listed together."""
    return "; ".join(
        f"{difference} ("
        + "; ".join(f"{block}: {', '.join(titles)}" for block, titles in blocks.items())
        + ")"
        for difference, blocks in reasons.items()
    )


def _unequal_n(column: list[TableCell]) -> str:
    counts: dict[int, list[str]] = defaultdict(list)
    for cell in column:
        counts[len(cell.numbers())].append(cell.row)
    return _difference(counts)


def _unequal_protocol(plan: PlanFile, column: list[TableCell]) -> str:
    """Return the protocol values in which the rows of a column differ."""
    if column[0].column.task == AVERAGE:
        return ""  # the averaged columns have their own flags
    protocols = {cell.row: plan.cells[cell.values[0].run.cell].protocol for cell in column if cell.values}
    texts = []
    for key in Protocol.model_fields:
        groups: dict[str, list[str]] = defaultdict(list)
        for row, protocol in protocols.items():
            value = getattr(protocol, key)
            groups[str(list(value) if isinstance(value, tuple) else value)].append(row)
        if difference := _difference(groups):
            texts.append(f"{key} {difference}")
    return "; ".join(texts)


def _difference(groups: Mapping[T, list[str]]) -> str:
    """Return ``3, but 2 for mat``; empty if all rows are equal."""
    if len(groups) < 2:
        return ""
    common = max(groups, key=lambda g: len(groups[g]))
    others = [f"{value} for {', '.join(rows)}" for value, rows in groups.items() if value != common]
    return f"{common}, but {' and '.join(others)}"
