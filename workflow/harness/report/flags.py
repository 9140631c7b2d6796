"""Flags of columns: what makes the cells of a column unequal, and the sentences that say so."""

from collections import defaultdict
from typing import Any

from harness.plan.tables import TableSpec
from harness.report.cells import AVERAGE, Cell

UNEQUAL_N, UNEQUAL_PROTOCOL = "§", "¶"
WORDS = {UNEQUAL_N: "unequal n", UNEQUAL_PROTOCOL: "unequal protocol"}


def place_title(spec: TableSpec, plan: dict[str, Any], place: tuple[str, ...]) -> str:
    """Return the titles of what a block is cut by."""
    titles = {"task": plan["tasks"], "model": plan["models"]}
    return ", ".join(titles[b][name]["title"] for b, name in zip(spec.blocks, place, strict=True))


def column_flags(
    spec: TableSpec, plan: dict[str, Any], cells: list[Cell]
) -> tuple[dict[str, str], list[str]]:
    """Return the flags of each column by its title, and one sentence a flag that occurs."""
    columns: dict[tuple[tuple[str, ...], str], list[Cell]] = defaultdict(list)
    for cell in cells:
        if not cell.own_reference:
            columns[cell.place, cell.column.title].append(cell)
    found: dict[str, set[str]] = defaultdict(set)
    told: dict[str, dict[str, dict[str, list[str]]]] = {flag: {} for flag in WORDS}
    for (place, title), column in columns.items():
        block = place_title(spec, plan, place)
        for flag, words in zip(WORDS, (_unequal_n(column), _unequal_protocol(plan, column)), strict=True):
            if words:
                found[title].add(flag)
                told[flag].setdefault(words, {}).setdefault(block, []).append(title)
    flags = {title: "".join(sorted(which)) for title, which in found.items()}
    return flags, [f"{flag} = {WORDS[flag]}: {_where(words)}." for flag, words in told.items() if words]


def _where(told: dict[str, dict[str, list[str]]]) -> str:
    """Return ``3, but 2 for mat (BERT: CoLA, RTE)``, what is equal in several columns in one piece."""
    return "; ".join(
        f"{words} (" + "; ".join(f"{block}: {', '.join(titles)}" for block, titles in blocks.items()) + ")"
        for words, blocks in told.items()
    )


def _unequal_n(column: list[Cell]) -> str:
    counts: dict[int, list[str]] = defaultdict(list)
    for cell in column:
        counts[len(cell.numbers())].append(cell.row)
    return _differing(counts)


def _unequal_protocol(plan: dict[str, Any], column: list[Cell]) -> str:
    """Return the protocol values in which the rows of a column differ."""
    if column[0].column.task == AVERAGE:
        return ""  # its columns say it
    told = []
    protocols = {cell.row: _protocol(plan, cell) for cell in column if cell.values}
    for key in next(iter(protocols.values()), {}):
        groups: dict[str, list[str]] = defaultdict(list)
        for row, protocol in protocols.items():
            groups[str(protocol[key])].append(row)
        if words := _differing(groups):
            told.append(f"{key} {words}")
    return "; ".join(told)


def _protocol(plan: dict[str, Any], cell: Cell) -> dict[str, Any]:
    run = cell.values[0].run
    protocol: dict[str, Any] = plan["cells"][f"{run['task']}/{run['model']}/{run['variant']}"]["protocol"]
    return protocol


def _differing(groups: dict[Any, list[str]]) -> str:
    """Return ``3, but 2 for mat``; empty where all are equal."""
    if len(groups) < 2:
        return ""
    common = max(groups, key=lambda g: len(groups[g]))
    others = [f"{value} for {', '.join(rows)}" for value, rows in groups.items() if value != common]
    return f"{common}, but {' and '.join(others)}"
