"""Significance of a table's scores: the best of each column, and scores better or worse than their reference.

Only like is compared with like: the same selection rule, training rows and seeds, tuned with tuned.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from harness.config.plan_file import PlanFile
from harness.config.table import Column, TableSpec, budget
from harness.plan.outputs import alike, is_tuned, reference_of
from harness.results.statistics_file import DEFAULT, Statistics
from harness.statistics.seeds import LEVEL, holm, min_seeds_for_significance, sign_flip_p
from harness.tables.cells import AVERAGE, Place, TableCell

METHOD, MODELS = "†", "‡"
WORSE_METHOD, WORSE_MODELS = "↓", "⇓"
WORDS = {METHOD: "better", MODELS: "better", WORSE_METHOD: "worse", WORSE_MODELS: "worse"}
NONE_ALIKE = (
    "No significance marks: no two rows are comparable (same selection rule, training rows and seeds; tuned "
    "with tuned)."
)
Key = tuple[Place, str, str]
"""Block, row and column title of a cell."""
Pair = tuple[TableCell, TableCell]


@dataclass(frozen=True)
class Significance:
    """Results of the tests of a table."""

    best: frozenset[Key] = frozenset()
    """The best cells, and those that are not significantly worse."""
    signs: Mapping[Key, str] = field(default_factory=dict)
    """The sign of each cell that is better or worse than its reference."""
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
    columns = [_competing(column) for column in groups.values()]
    among = [pair for column in columns for pair in combinations(column, 2)]
    against = [pair for column in groups.values() for pair in _with_reference(spec, plan, column)]
    if not among and not against:
        return Significance(notes=[NONE_ALIKE] if any(len(column) > 1 for column in groups.values()) else [])
    best = _best(columns, among)
    signs = _signs_of_models(against, plan, statistics) | _signs_of_methods(against)
    return Significance(best, signs, _notes(among, against, best, signs))


def _is_score(column: Column) -> bool:
    """Return whether a column has scores of finished runs.

    At a budget, variants are in the middle of their schedules and the reference is at its end.
    """
    plain = column.relative is None and column.minus is None and budget(column.value) is None
    return column.unit == "percent" and plain


def unlike(plan: PlanFile, cell: TableCell, other: TableCell) -> str:
    """Return in what the runs of two cells are not comparable, or an empty text."""
    differs = {
        "selection": _by_report(cell) != _by_report(other),
        "training rows": len({*_subsets(cell), *_subsets(other)}) > 1,
        "seeds": _seeds_of(cell) != _seeds_of(other),
        "tuning": is_tuned(plan, cell.row) != is_tuned(plan, other.row),
    }
    return ", ".join(name for name, value in differs.items() if value)


def _by_report(cell: TableCell) -> bool:
    """Return whether weights were selected on the report split."""
    return "r" in cell.marks


def _subsets(cell: TableCell) -> set[str]:
    return {v.run.subset for v in cell.values if v.number is not None}


def _seeds_of(cell: TableCell) -> frozenset[int]:
    return frozenset(v.run.seed for v in cell.values if v.number is not None)


def _competing(column: list[TableCell]) -> list[TableCell]:
    """Return the cells among which the best is sought: those with most seeds, and the same ones.

    Cells that were selected on the report split compete only if all were.
    """
    cells = [cell for cell in column if not _by_report(cell)] or column
    counts = Counter(map(_seeds_of, cells))
    most = max(counts, key=lambda seeds: (len(seeds), counts[seeds]), default=frozenset())
    return [cell for cell in cells if _seeds_of(cell) == most]


def _with_reference(spec: TableSpec, plan: PlanFile, column: list[TableCell]) -> list[Pair]:
    rows = {cell.row: cell for cell in column}
    pairs = [
        (cell, rows.get(reference_of(spec, plan, cell.row) or alike(plan, cell.row, DEFAULT)))
        for cell in column
    ]
    return [
        (cell, other)
        for cell, other in pairs
        if other is not None and other is not cell and not unlike(plan, cell, other)
    ]


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


def _signs_of_methods(pairs: list[Pair]) -> dict[Key, str]:
    """Return the signs of the cells that differ from their reference across seeds."""
    differences = [paired(*pair) for pair in pairs]
    p = corrected(differences)
    return {
        key_of(cell): METHOD if values.mean() > 0 else WORSE_METHOD
        for (cell, _), values, value in zip(pairs, differences, p, strict=True)
        if value <= LEVEL and values.mean() != 0
    }


def _signs_of_models(pairs: list[Pair], plan: PlanFile, statistics: Statistics) -> dict[Key, str]:
    """Return the signs of the cells whose trained models differ from those of their reference on examples.

    A diverged run has no predictions, so a cell with one is not tested.
    """
    rows = []
    for cell, other in pairs:
        if "d" in cell.marks + other.marks:
            continue
        run = cell.values[0].run
        row = statistics.get((run.task, run.model, cell.row, other.row))
        if row is not None and row.p_models is not None and _is_primary(cell.column, plan):
            rows.append((cell, row, row.p_models))
    p = holm(np.array([p_models for _, _, p_models in rows]))
    return {
        key_of(cell): MODELS if row.estimate > 0 else WORSE_MODELS
        for (cell, row, _), value in zip(rows, p, strict=True)
        if row.estimate != 0 and value <= LEVEL
    }


def _is_primary(column: Column, plan: PlanFile) -> bool:
    """Return whether a column shows the score that statistics.parquet is about."""
    if column.task == AVERAGE or column.value != "report":
        return False
    if column.task is None or column.split is None:
        return column.split is None and column.metric is None
    task = plan.tasks[column.task]
    return column.split == task.report[0] and column.metric == task.primary_metric


def _notes(
    among: list[Pair], against: list[Pair], best: frozenset[Key], signs: Mapping[Key, str]
) -> list[str]:
    """Return the notes on the signs that occur, or why none can."""
    occurring = set(signs.values())
    names = " or ".join(dict.fromkeys(other.row for _, other in against))
    notes = []
    if best:
        notes.append(
            f"Bold: the best of its column, and all that are not significantly worse ({_test(among)})."
        )
    methods = [s for s in (METHOD, WORSE_METHOD) if s in occurring]
    models = [s for s in (MODELS, WORSE_MODELS) if s in occurring]
    if methods:
        words = " or ".join(f"{sign} significantly {WORDS[sign]}" for sign in methods)
        notes.append(f"{words} than {names} across training seeds ({_test(against)}).")
    if not best and not methods:
        notes.append(_why_none(against or among, bool(models)))
    if models:
        words = " or ".join(f"{sign} these trained models are significantly {WORDS[sign]}" for sign in models)
        notes.append(
            f"{words} than those of {names} on examples like those of the report split (predictions swapped "
            "example by example, Holm-corrected, p ≤ 0.05). This says nothing about other seeds."
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
