"""The table of claims: each variant compared with its reference by tests and intervals."""

from dataclasses import dataclass
from statistics import fmean

import numpy as np

from harness.config.plan_file import PlanFile, PlannedCell
from harness.config.table import Column, TableSpec
from harness.plan.outputs import reference_of, rows_of
from harness.results.frame import RunRow
from harness.results.statistics_file import Statistics, StatisticsRow
from harness.statistics.group import BOOTSTRAPS, PERMUTATIONS
from harness.statistics.seeds import holm, min_seeds_for_significance, seeds_to_decide
from harness.tables.cells import Place, Runs, TableCell, by_cell, place_of, place_title
from harness.tables.marks import mark_notes
from harness.tables.significance import Pair, corrected, paired, unlike
from harness.tables.table import Block, Numbers, Table, new_table
from harness.tables.values import run_values

HEAD = [
    "variant",
    "reference",
    "difference",
    "95 % interval",
    "p, these models",
    "p, the method",
    "seeds to decide",
]


@dataclass(frozen=True)
class Claim:
    """The comparison of a variant with its reference; differences in percent points."""

    place: Place
    variant: str
    reference: str
    marks: str
    seeds: int
    """Seeds that both have."""
    difference: float | None
    low: float | None
    high: float | None
    p_models: float | None
    p_method: float | None
    """None with too few seeds for any significant result."""
    unlike: str
    """In what the two are not comparable; then nothing is tested."""
    min_seeds: int
    """Smallest number of seeds with which the method's test can be significant."""
    seeds_to_decide: int | None

    def texts(self) -> list[str]:
        """Return the row of the table."""
        marks = f" {self.marks}" if self.marks else ""
        untestable = f"not testable (needs {self.min_seeds} seeds)"
        if self.unlike:
            untestable = f"not comparable ({self.unlike})"
        return [
            self.variant,
            self.reference,
            f"{_signed(self.difference)}{marks} ({self.seeds})",
            "-" if self.low is None else f"[{_signed(self.low)}, {_signed(self.high)}]",
            p_text(self.p_models),
            untestable if self.p_method is None else p_text(self.p_method),
            self._seeds_to_decide_text(),
        ]

    def _seeds_to_decide_text(self) -> str:
        if self.seeds < 2 or self.unlike:
            return "-"
        return "> 1,000" if self.seeds_to_decide is None else str(self.seeds_to_decide)

    def numbers(self, spec: TableSpec) -> Numbers:
        """Return the line of the CSV."""
        values = {name: value for name, value in vars(self).items() if name != "place"}
        return {**dict(zip(spec.blocks, self.place, strict=True)), **values}


def claims_table(
    name: str, spec: TableSpec, plan: PlanFile, runs: list[RunRow], statistics: Statistics
) -> Table:
    """Return one line for each variant with a reference, for each task and model."""
    groups = by_cell(runs)
    pairs = [pair for cell in plan.cells.values() for pair in _pair(spec, plan, groups, cell)]
    claims = _claims(pairs, plan, statistics)
    blocks = [
        Block(place_title(spec, plan, place), [claim.texts() for claim in claims if claim.place == place])
        for place in dict.fromkeys(claim.place for claim in claims)
    ]
    return new_table(
        name,
        spec,
        plan,
        head=HEAD,
        blocks=blocks,
        numbers=[claim.numbers(spec) for claim in claims],
        notes=[*_notes(claims), *mark_notes(value for pair in pairs for c in pair for value in c.values)],
        blocked_by=", ".join(spec.blocks),
    )


def _pair(spec: TableSpec, plan: PlanFile, groups: Runs, cell: PlannedCell) -> list[Pair]:
    """Return the cell and that of its reference; empty if it has no reference."""
    reference = reference_of(spec, plan, cell.variant)
    if reference in (None, cell.variant) or cell.variant not in rows_of(spec, plan):
        return []

    def table_cell(variant: str) -> TableCell:
        values = run_values(Column(), groups[cell.task, cell.model, variant], None, plan)
        return TableCell(place_of(spec, cell), variant, Column(task=cell.task), values)

    return [(table_cell(cell.variant), table_cell(str(reference)))]


def _claims(pairs: list[Pair], plan: PlanFile, statistics: Statistics) -> list[Claim]:
    """Return the claim of each pair; p-values are corrected over all pairs of comparable runs."""
    rows = [_statistics_of(pair, statistics) for pair in pairs]
    reasons = [unlike(plan, *pair) for pair in pairs]
    like = [i for i, reason in enumerate(reasons) if not reason]
    tested = {i: row.p_models for i in like if (row := rows[i]) is not None and row.p_models is not None}
    p_models = dict(zip(tested, holm(np.array(list(tested.values()))), strict=True))
    differences = [paired(*pair) for pair in pairs]
    p_methods = dict(zip(like, corrected(differences[i] for i in like), strict=True))
    needed = min_seeds_for_significance(max(1, len(like)))
    return [
        Claim(
            place=cell.place,
            variant=cell.row,
            reference=reference.row,
            marks="".join(dict.fromkeys(cell.marks + reference.marks)),
            seeds=len(values),
            difference=100 * fmean(values) if len(values) else None,
            low=100 * row.low if row else None,
            high=100 * row.high if row else None,
            p_models=float(p_models[i]) if i in p_models else None,
            p_method=float(p_methods[i]) if i in p_methods and len(values) >= needed else None,
            unlike=reasons[i],
            min_seeds=needed,
            seeds_to_decide=None if reasons[i] else seeds_to_decide(values, len(like)),
        )
        for i, ((cell, reference), values, row) in enumerate(zip(pairs, differences, rows, strict=True))
    ]


def _statistics_of(pair: Pair, statistics: Statistics) -> StatisticsRow | None:
    """Return the interval and test on examples; None if a run has diverged, because it has no predictions."""
    cell, reference = pair
    if "d" in cell.marks + reference.marks:
        return None
    run = cell.values[0].run
    return statistics.get((run.task, run.model, cell.row, reference.row))


def _signed(number: float | None) -> str:
    return "-" if number is None else f"{round(number, 1) + 0.0:+.1f}"


def p_text(p: float | None) -> str:
    """Return a p-value as tables show it."""
    return "-" if p is None else f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _tested_text(claims: list[Claim]) -> str:
    tested = sum(not claim.unlike for claim in claims)
    return f"{len(claims)} lines" if tested == len(claims) else f"{tested} comparable lines"


def _notes(claims: list[Claim]) -> list[str]:
    notes = [
        "Difference: score minus that of the reference, in percent points, mean over paired seeds (their "
        f"number). 95 % interval: percentiles of {BOOTSTRAPS:,} resamples of examples and seeds; with fewer "
        "than about five seeds it is too narrow.",
        "p, these models: predictions are swapped example by example, in all seeds at once "
        f"({PERMUTATIONS:,} times). It tests whether these trained models differ on examples like those of "
        "the report split, and says nothing about other seeds.",
        "p, the method: the signs of the differences are flipped over seeds. It tests whether the method "
        "would differ if it were trained again.",
        f"Both p-values are Holm-corrected for the {_tested_text(claims)} of this table.",
        "Seeds to decide: total number of seeds for 80 % power at that level if mean and spread over seeds "
        "are as observed; a rough estimate from few seeds.",
    ]
    if any(claim.p_method is None and not claim.unlike for claim in claims):
        notes.insert(3, "Not testable: with so few seeds no result can reach p ≤ 0.05.")
    return notes
