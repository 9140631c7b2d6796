"""Significance of a table's scores: the best of each column, and scores better than their reference."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from harness.config.plan_file import PlanFile
from harness.config.table import Column, TableSpec
from harness.plan.outputs import reference_of
from harness.results.statistics_file import DEFAULT, Statistics
from harness.statistics.seeds import LEVEL, holm, min_seeds_for_significance, sign_flip_p
from harness.tables.cells import AVERAGE, Place, TableCell

METHOD, MODELS = "†", "‡"
Key = tuple[Place, str, str]
"""Block, row and column title of a cell."""
Pair = tuple[TableCell, TableCell]


@dataclass(frozen=True)
class Significance:
    """Results of the tests of a table."""

    best: frozenset[Key] = frozenset()
    """The best cells, and those that are not significantly worse."""
    better: Mapping[Key, str] = field(default_factory=dict)
    """The sign of each cell that is better than its reference."""
    notes: list[str] = field(default_factory=list)


def key_of(cell: TableCell) -> Key:
    """Return the key of a cell in its table."""
    return cell.place, cell.row, cell.column.title


def paired(cell: TableCell, reference: TableCell) -> np.ndarray:
    """Return the differences over the seeds that both cells have: [n]."""
    others = {v.run.seed: v.number for v in reference.values if v.number is not None}
    pairs = [(v.number, others[v.run.seed]) for v in cell.values if v.run.seed in others]
    return np.array([a - b for a, b in pairs if a is not None])


def corrected(pairs: Iterable[np.ndarray]) -> np.ndarray:
    """Return the Holm-corrected p-values over seeds of differences [n] each; 1 where there are none."""
    groups: dict[int, list[int]] = defaultdict(list)
    differences = list(pairs)
    for i, values in enumerate(differences):
        groups[len(values)].append(i)
    p = np.ones(len(differences))
    for n, members in groups.items():
        if n:
            p[members] = sign_flip_p(np.stack([differences[i] for i in members], 1), len(differences))
    return holm(p)


def significance_of(
    spec: TableSpec, plan: PlanFile, cells: list[TableCell], statistics: Statistics
) -> Significance:
    """Return the significance of the scores of a table that is tested."""
    groups: dict[tuple[Place, str], list[TableCell]] = defaultdict(list)
    for cell in cells:
        if _is_score(cell.column):
            groups[cell.place, cell.column.title].append(cell)
    columns = [_comparable(column) for column in groups.values()]
    among = [pair for column in columns for pair in combinations(column, 2)]
    against = [pair for column in columns for pair in _with_reference(spec, column)]
    if not among:
        return Significance()
    best = _best(columns, among)
    models = _better_models(against, plan, statistics)
    methods = _better_methods(against)
    better = dict.fromkeys(models, MODELS) | dict.fromkeys(methods, METHOD)
    return Significance(best, better, _notes(among, against, best, better))


def _is_score(column: Column) -> bool:
    return column.unit == "percent" and column.relative is None and column.minus is None


def _comparable(column: list[TableCell]) -> list[TableCell]:
    """Return the cells of a column without those selected on the report split, unless all are."""
    return [cell for cell in column if "r" not in cell.marks] or column


def _with_reference(spec: TableSpec, column: list[TableCell]) -> list[Pair]:
    rows = {cell.row: cell for cell in column}
    pairs = [(cell, rows.get(reference_of(spec, cell.row) or DEFAULT)) for cell in column]
    return [(cell, other) for cell, other in pairs if other is not None and other is not cell]


def _best(columns: list[list[TableCell]], pairs: list[Pair]) -> frozenset[Key]:
    """Return the best cell and its ties, for each column in which any cell is significantly worse.

    All pairs are tested, because the best cell is selected by its score.
    """
    values = corrected(paired(*pair) for pair in pairs)
    p = {frozenset((key_of(a), key_of(b))): value for (a, b), value in zip(pairs, values, strict=True)}
    best: set[Key] = set()
    for column in columns:
        scored = [cell for cell in column if cell.numbers()]
        if not scored:
            continue
        top = max(scored, key=lambda cell: float(np.mean(cell.numbers())))
        ties = [c for c in scored if c is top or p[frozenset((key_of(top), key_of(c)))] > LEVEL]
        if len(ties) < len(scored):
            best |= {key_of(cell) for cell in ties}
    return frozenset(best)


def _better_methods(pairs: list[Pair]) -> list[Key]:
    """Return the cells that are better than their reference across seeds."""
    differences = [paired(*pair) for pair in pairs]
    p = corrected(differences)
    return [
        key_of(cell)
        for (cell, _), values, value in zip(pairs, differences, p, strict=True)
        if value <= LEVEL and values.mean() > 0
    ]


def _better_models(pairs: list[Pair], plan: PlanFile, statistics: Statistics) -> list[Key]:
    """Return the cells whose trained models are better than those of their reference across examples."""
    rows = []
    for cell, other in pairs:
        run = cell.values[0].run
        row = statistics.get((run.task, run.model, cell.row, other.row))
        if row is not None and row.p_models is not None and _is_primary(cell.column, plan):
            rows.append((cell, row, row.p_models))
    p = holm(np.array([p_models for _, _, p_models in rows]))
    return [
        key_of(cell)
        for (cell, row, _), value in zip(rows, p, strict=True)
        if row.estimate > 0 and value <= LEVEL
    ]


def _is_primary(column: Column, plan: PlanFile) -> bool:
    """Return whether a column shows the score that statistics.parquet is about."""
    if column.task == AVERAGE or column.value != "report":
        return False
    if column.task is None or column.split is None:
        return column.split is None and column.metric is None
    task = plan.tasks[column.task]
    return column.split == task.report[0] and column.metric == task.primary_metric


def _notes(
    among: list[Pair], against: list[Pair], best: frozenset[Key], better: Mapping[Key, str]
) -> list[str]:
    """Return the notes on the signs that occur, or why none can."""
    signs = set(better.values())
    names = " or ".join(dict.fromkeys(other.row for _, other in against))
    notes = []
    if best:
        notes.append(
            f"Bold: the best of its column, and all that are not significantly worse ({_test(among)})."
        )
    if METHOD in signs:
        notes.append(f"{METHOD} significantly better than {names} across training seeds ({_test(against)}).")
    if not best and METHOD not in signs:
        notes.append(_why_none(against or among, MODELS in signs))
    if MODELS in signs:
        notes.append(
            f"{MODELS} these trained models are significantly better than those of {names} on examples like "
            "those of the report split (predictions swapped example by example, Holm-corrected, p ≤ 0.05). "
            "This says nothing about other seeds."
        )
    return notes


def _test(pairs: list[Pair]) -> str:
    n = _seeds(pairs)
    return f"paired sign-flip test over {n} seeds, Holm-corrected for {_count(pairs)}, p ≤ 0.05"


def _why_none(pairs: list[Pair], marks: bool) -> str:
    """Return why no sign of a test across seeds occurs; ``marks``: whether other signs do."""
    n, needed = _seeds(pairs), min_seeds_for_significance(len(pairs))
    if n >= needed:
        return f"No difference across training seeds is significant ({_test(pairs)})."
    start = "No significance across training seeds" if marks else "No significance marks"
    return (
        f"{start}: with {n} seed{'s' if n != 1 else ''} no difference can reach p ≤ 0.05 after Holm "
        f"correction for {_count(pairs)}; at least {needed} seeds are needed."
    )


def _seeds(pairs: list[Pair]) -> int:
    """Return the largest number of paired seeds."""
    return max(len(paired(*pair)) for pair in pairs)


def _count(pairs: list[Pair]) -> str:
    return f"{len(pairs)} comparison{'s' if len(pairs) > 1 else ''}"
