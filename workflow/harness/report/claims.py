"""Claims of a table: which of its numbers are the best, and which better than their reference, by test."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from harness.plan.tables import Column, TableSpec, reference_of
from harness.report.cells import AVERAGE, Cell
from harness.report.statistics.results import DEFAULT
from harness.report.statistics.seeds import LEVEL, holm, reach, sign_flip_p

METHOD, MODELS = "†", "‡"
Key = tuple[tuple[str, ...], str, str]
"""Place, row and column title of a cell."""
Pair = tuple[Cell, Cell]
Statistics = Mapping[tuple[str, str, str, str], Mapping[str, Any]]
"""Task, model, variant and reference to a row of statistics.parquet."""


@dataclass(frozen=True)
class Claims:
    """What the tests say of a table's cells."""

    best: frozenset[Key] = frozenset()
    better: Mapping[Key, str] = field(default_factory=dict)
    """The sign of what is better than its reference."""
    notes: list[str] = field(default_factory=list)


def key_of(cell: Cell) -> Key:
    """Return what a cell is known by in its table."""
    return cell.place, cell.row, cell.column.title


def paired(own: Cell, other: Cell) -> np.ndarray:
    """Return the differences over the seeds that both have: [n]."""
    others = {v.run["seed"]: v.number for v in other.values if v.number is not None}
    found = [(v.number, others[v.run["seed"]]) for v in own.values if v.run["seed"] in others]
    return np.array([a - b for a, b in found if a is not None])


def corrected(pairs: Iterable[np.ndarray]) -> np.ndarray:
    """Return the p-values over seeds of differences [n] each, corrected; 1 where there are none."""
    groups: dict[int, list[int]] = defaultdict(list)
    differences = list(pairs)
    for i, one in enumerate(differences):
        groups[len(one)].append(i)
    p = np.ones(len(differences))
    for n, members in groups.items():
        if n:
            p[members] = sign_flip_p(np.stack([differences[i] for i in members], 1), len(differences))
    return holm(p)


def claims_of(spec: TableSpec, plan: dict[str, Any], cells: list[Cell], statistics: Statistics) -> Claims:
    """Return the claims of a table whose spec asks for tests."""
    grouped: dict[tuple[tuple[str, ...], str], list[Cell]] = defaultdict(list)
    for cell in cells:
        if _is_score(cell.column):
            grouped[cell.place, cell.column.title].append(cell)
    columns = [_comparable(column) for column in grouped.values()]
    among = [pair for column in columns for pair in combinations(column, 2)]
    against = [pair for column in columns for pair in _with_reference(spec, column)]
    if not among:
        return Claims()
    best, told = _best(columns, among)
    better, more = _better(against, plan, statistics)
    return Claims(best, better, [told, *more])


def _is_score(column: Column) -> bool:
    return column.unit == "percent" and column.relative is None and column.minus is None


def _comparable(column: list[Cell]) -> list[Cell]:
    """Return the cells of a column less those chosen on the reported rows, unless all are."""
    return [cell for cell in column if "r" not in cell.marks] or column


def _with_reference(spec: TableSpec, column: list[Cell]) -> list[Pair]:
    rows = {cell.row: cell for cell in column}
    others = [(cell, rows.get(reference_of(spec, cell.row) or DEFAULT)) for cell in column]
    return [(cell, other) for cell, other in others if other is not None and other is not cell]


def _best(columns: list[list[Cell]], pairs: list[Pair]) -> tuple[frozenset[Key], str]:
    """Return, for each column in which the test tells any from the best, the best and what ties with it.

    All pairs are tested, for which row is the best is chosen by looking.
    """
    found = [paired(*pair) for pair in pairs]
    p = {(key_of(a), key_of(b)): one for (a, b), one in zip(pairs, corrected(found), strict=True)}
    best: set[Key] = set()
    for column in columns:
        full = [cell for cell in column if cell.numbers()]
        if not full:
            continue
        top = max(full, key=lambda cell: float(np.mean(cell.numbers())))
        ties = [c for c in full if c is top or min(_both(p, top, c)) > LEVEL]
        if len(ties) < len(full):
            best |= {key_of(cell) for cell in ties}
    about = "bold = the best of its column, and what cannot be told from it (all pairs of rows"
    return frozenset(best), f"{about}; {_over_seeds(found)})."


def _both(p: Mapping[tuple[Key, Key], float], a: Cell, b: Cell) -> list[float]:
    return [p[x] for x in ((key_of(a), key_of(b)), (key_of(b), key_of(a))) if x in p]


def _better(
    pairs: list[Pair], plan: dict[str, Any], statistics: Statistics
) -> tuple[dict[Key, str], list[str]]:
    if not pairs:
        return {}, []
    found = [paired(*pair) for pair in pairs]
    better = {key_of(own): MODELS for own, p in _by_examples(pairs, plan, statistics) if p <= LEVEL} | {
        key_of(own): METHOD
        for (own, _), one, p in zip(pairs, found, corrected(found), strict=True)
        if p <= LEVEL and one.mean() > 0
    }
    names = " or ".join(dict.fromkeys(other.row for _, other in pairs))
    notes = [f"{METHOD} = better than {names} ({_over_seeds(found)}); it speaks of the method."]
    if MODELS in better.values():
        notes.append(
            f"{MODELS} = these trained models are better than those of {names} on examples like the "
            "reported ones (predictions swapped example by example, Holm-corrected p ≤ 0.05); it says "
            "nothing of other seeds."
        )
    return better, notes


def _by_examples(pairs: list[Pair], plan: dict[str, Any], statistics: Statistics) -> list[tuple[Cell, float]]:
    """Return the cells that score higher than their reference, with the p-value of swapped predictions."""
    found = []
    for own, other in pairs:
        row = statistics.get((*_where(own), own.row, other.row)) if _is_ranked(own.column, plan) else None
        if row is not None:
            found.append((own, row))
    p = holm(np.array([row["p_models"] for _, row in found]))
    return [(own, float(one)) for (own, row), one in zip(found, p, strict=True) if row["estimate"] > 0]


def _where(cell: Cell) -> tuple[str, str]:
    run = cell.values[0].run
    return run["task"], run["model"]


def _is_ranked(column: Column, plan: dict[str, Any]) -> bool:
    """Tell whether a column shows the score that statistics.parquet speaks of."""
    if column.task == AVERAGE or column.value != "report":
        return False
    if column.task is None or column.split is None:
        return column.split is None and column.metric is None
    task = plan["tasks"][column.task]
    return bool(column.split == task["report"][0] and column.metric == task["rank"])


def _over_seeds(differences: list[np.ndarray]) -> str:
    """Return how the test over seeds was done, or that it cannot be done and what it would take."""
    count, n = len(differences), max(len(one) for one in differences)
    comparisons, needed = f"{count} comparison{'s' if count > 1 else ''}", reach(count)
    if n < needed:
        return f"n.t.: {n} paired seeds cannot reach p ≤ 0.05 in {comparisons}, {needed} can"
    return f"signs flipped over {n} paired seeds, Holm-corrected p ≤ 0.05 in {comparisons}"
