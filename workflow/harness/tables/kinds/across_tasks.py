"""The table across tasks: interquartile mean of all runs, and the probability of improvement."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.config.plan_file import PlanFile
from harness.config.table import Column, TableSpec
from harness.plan.outputs import reference_of, rows_of
from harness.results.frame import RunRow
from harness.statistics.across import Strata, improvement, interquartile_mean, stratified
from harness.statistics.group import BOOTSTRAPS
from harness.tables.cells import Runs, TableCell, by_cell
from harness.tables.marks import mark_notes
from harness.tables.significance import unlike
from harness.tables.table import Block, Numbers, Table, new_table
from harness.tables.values import Value, run_values

HEAD = ["variant", "interquartile mean", "probability of improvement"]


@dataclass(frozen=True)
class Estimate:
    """A value and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    def text(self, digits: int) -> str:
        """Return ``0.52 [0.41, 0.63]``."""
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclass(frozen=True)
class Line:
    """One variant of one model over all tasks; an estimate is None if the variant lacks a task."""

    model: str
    variant: str
    reference: str | None
    runs: int
    """Runs with a value."""
    planned: int
    marks: str
    mean: Estimate | None
    improvement: Estimate | None
    unlike: str = ""
    """In what its runs and the reference's are not comparable; then there is no improvement."""

    def texts(self) -> list[str]:
        """Return the row of the table."""
        mean = "-" if self.mean is None else self.mean.text(1)
        better = "-" if self.improvement is None else self.improvement.text(2)
        if self.unlike:
            better = f"not comparable ({self.unlike})"
        if self.reference in (None, self.variant):
            better = "reference"
        marks = f" {self.marks}" if self.marks else ""
        return [self.variant, f"{mean}{marks} ({self.runs} of {self.planned} runs)", better]

    def numbers(self) -> Numbers:
        """Return the line of the CSV."""
        estimates = {"iqm": self.mean, "improvement": self.improvement}
        return {
            "model": self.model,
            "variant": self.variant,
            "reference": self.reference,
            "runs": self.runs,
            "planned": self.planned,
            "unlike": self.unlike,
            **{
                f"{name}{suffix}": getattr(estimate, part) if estimate else None
                for name, estimate in estimates.items()
                for suffix, part in (("", "value"), ("_low", "low"), ("_high", "high"))
            },
        }


def across_tasks_table(name: str, spec: TableSpec, plan: PlanFile, runs: list[RunRow]) -> Table:
    """Return one block per model, one line per variant."""
    groups, rows = by_cell(runs), rows_of(spec, plan)
    lines = [_line(spec, plan, groups, model, row) for model in plan.models for row in rows]
    return new_table(
        name,
        spec,
        plan,
        head=HEAD,
        blocks=[
            Block(facts.title, [line.texts() for line in lines if line.model == model])
            for model, facts in plan.models.items()
        ],
        numbers=[line.numbers() for line in lines],
        notes=[_note(list(plan.tasks)), *mark_notes(Value(run, None) for run in runs if run.variant in rows)],
    )


def _cells(plan: PlanFile, groups: Runs, model: str, variant: str) -> list[TableCell]:
    """Return the primary scores of a variant, one cell per task."""
    return [
        TableCell(
            (task, model),
            variant,
            Column(task=task),
            run_values(Column(), groups[task, model, variant], None, plan),
        )
        for task in plan.tasks
    ]


def _strata(cells: list[TableCell]) -> Strata | None:
    """Return the scores in percent, one array per task, or None if a task has none."""
    strata = [np.array(cell.numbers()) for cell in cells]
    return strata if all(len(scores) for scores in strata) else None


def _line(spec: TableSpec, plan: PlanFile, groups: Runs, model: str, row: str) -> Line:
    reference, cells = reference_of(spec, plan, row), _cells(plan, groups, model, row)
    others = [] if reference in (None, row) else _cells(plan, groups, model, str(reference))
    reasons = dict.fromkeys(filter(None, (unlike(plan, *pair) for pair in zip(cells, others, strict=False))))
    compared = _strata(others) if others and not reasons else None
    scores = _strata(cells)
    return Line(
        model,
        row,
        reference,
        runs=sum(len(cell.numbers()) for cell in cells),
        planned=sum(len(cell.values) for cell in cells),
        marks="".join(dict.fromkeys("".join(cell.marks for cell in cells))),
        mean=_estimate(f"{model}/{row}", interquartile_mean, scores),
        improvement=_estimate(f"{model}/{row}/{reference}", improvement, scores, compared),
        unlike="; ".join(reasons),
    )


def _estimate(name: str, statistic: Callable[..., np.ndarray], *methods: Strata | None) -> Estimate | None:
    """Return a statistic of the scores of methods, or None if a method lacks a task."""
    strata = [scores for scores in methods if scores is not None]
    if len(strata) < len(methods):
        return None
    return Estimate(float(statistic(*strata)), *stratified(name, statistic, *strata))


def _note(tasks: list[str]) -> str:
    return (
        f"Over {len(tasks)} tasks: {', '.join(tasks)}. Interquartile mean: the mean of the middle half of "
        "all runs, in percent. Probability of improvement: how often a run of the variant is better than one "
        "of the reference on the same task (ties count half), mean over tasks; 0.5 means no difference. In "
        f"brackets: 95 % intervals from {BOOTSTRAPS:,} resamples of runs within each task; with fewer than "
        "about ten seeds they are too narrow."
    )
