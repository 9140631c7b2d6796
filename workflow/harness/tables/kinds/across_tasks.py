"""The table across tasks: interquartile mean of all runs, and the probability of improvement."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.config.plan_file import PlanFile
from harness.config.table import TableSpec
from harness.plan.outputs import reference_of, rows_of
from harness.results.frame import RunRow
from harness.statistics.across import Strata, improvement, interquartile_mean, stratified
from harness.statistics.group import BOOTSTRAPS
from harness.tables.cells import Runs, by_cell
from harness.tables.marks import mark_notes
from harness.tables.table import Block, Numbers, Table, new_table
from harness.tables.values import Value

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
    mean: Estimate | None
    improvement: Estimate | None

    def texts(self) -> list[str]:
        """Return the row of the table."""
        mean = "-" if self.mean is None else self.mean.text(1)
        better = "-" if self.improvement is None else self.improvement.text(2)
        if self.reference in (None, self.variant):
            better = "reference"
        return [self.variant, f"{mean} ({self.runs} runs)", better]

    def numbers(self) -> Numbers:
        """Return the line of the CSV."""
        estimates = {"iqm": self.mean, "improvement": self.improvement}
        return {
            "model": self.model,
            "variant": self.variant,
            "reference": self.reference,
            "runs": self.runs,
            **{
                f"{name}{suffix}": getattr(estimate, part) if estimate else None
                for name, estimate in estimates.items()
                for suffix, part in (("", "value"), ("_low", "low"), ("_high", "high"))
            },
        }


def across_tasks_table(name: str, spec: TableSpec, plan: PlanFile, runs: list[RunRow]) -> Table:
    """Return one block per model, one line per variant."""
    groups, tasks = by_cell(runs), list(plan.tasks)
    rows = rows_of(spec, plan)
    lines = [_line(spec, groups, tasks, model, row) for model in plan.models for row in rows]
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
        notes=[_note(tasks), *mark_notes(Value(run, None) for run in runs if run.variant in rows)],
    )


def _strata(groups: Runs, tasks: list[str], model: str, variant: str) -> Strata | None:
    """Return the scores in percent, one array per task, or None if a task has none."""
    strata = [
        np.array([100 * run.score for run in groups[task, model, variant] if run.score is not None])
        for task in tasks
    ]
    return strata if all(len(scores) for scores in strata) else None


def _line(spec: TableSpec, groups: Runs, tasks: list[str], model: str, row: str) -> Line:
    reference = reference_of(spec, row)
    scores = _strata(groups, tasks, model, row)
    others = None if reference is None or reference == row else _strata(groups, tasks, model, reference)
    return Line(
        model,
        row,
        reference,
        runs=sum(map(len, scores)) if scores else 0,
        mean=_estimate(f"{model}/{row}", interquartile_mean, scores),
        improvement=_estimate(f"{model}/{row}/{reference}", improvement, scores, others),
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
