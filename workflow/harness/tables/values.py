"""The value of a table's column for each run, with the marks that it carries."""

from dataclasses import dataclass, field, replace
from statistics import fmean

from harness.config.plan_file import PlanFile
from harness.config.table import Column, budget
from harness.results.frame import SELECTION, RunRow

ON_REPORT = frozenset({"o"})
"""Mark of a score during training on the report split."""
SLACK = 1e-9
"""Rounding error that is allowed in a share of the training."""


@dataclass(frozen=True)
class Value:
    """The value of one run in one cell."""

    run: RunRow
    number: float | None
    marks: frozenset[str] = field(default=frozenset())
    """Letters of marks that come from the value, not from the run."""


def run_values(
    column: Column, runs: list[RunRow], reference: list[RunRow] | None, plan: PlanFile
) -> list[Value]:
    """Return the value of ``column`` for each run; ``reference`` are the runs of the reference variant."""
    values = [_absolute(column, run, reference, plan) for run in runs]
    if column.relative is None or reference is None:
        return values
    others = {run.seed: _number(column, run, plan) for run in reference}
    if column.relative == "difference":
        return [Value(v.run, _minus(v.number, others.get(v.run.seed)), v.marks) for v in values]
    numbers = [number for number in others.values() if number is not None]
    base = fmean(numbers) if numbers else None
    return [Value(v.run, v.number / base if v.number is not None and base else None, v.marks) for v in values]


def _absolute(column: Column, run: RunRow, reference: list[RunRow] | None, plan: PlanFile) -> Value:
    reference_runs = budget(column.value)
    if reference_runs is None or _counts_as_chance(column, run):
        on_report = column.value.startswith("curve.") and run.curve_split != SELECTION
        return Value(run, _number(column, run, plan), ON_REPORT if on_report else frozenset())
    allowed, needed = _cost(plan, reference[0] if reference else run), _cost(plan, run)
    if allowed is None or needed is None:
        return Value(run, None)
    value = _within_budget(run, reference_runs * allowed / needed)
    return value if run.curve_split == SELECTION else replace(value, marks=value.marks | ON_REPORT)


def _cost(plan: PlanFile, run: RunRow) -> float | None:
    """Return the training cost in forward equivalents, or None if the task's row count is unknown."""
    return plan.cells[run.cell].cost.forward_equivalents


def _within_budget(run: RunRow, share: float) -> Value:
    """Return the score of the last evaluation within a share of the run's training.

    The last evaluation is at the end of training, and every batch takes the same passes.
    """
    steps, scores = run.curve_steps, run.curve_scores
    if not steps:
        return Value(run, None)
    limit = steps[-1] * share + SLACK
    within = [score for step, score in zip(steps, scores, strict=True) if step <= limit]
    if not within:
        return Value(run, None, frozenset({"b"}))
    return Value(run, within[-1], frozenset({"e"} if share > 1 + SLACK else ()))


def _counts_as_chance(column: Column, run: RunRow) -> bool:
    """Return whether the value is a score of a diverged run.

    Left out, it would flatter its method, which would be judged by the runs that survived.
    """
    return run.status == "diverged" and column.unit == "percent" and column.minus is None


def _number(column: Column, run: RunRow, plan: PlanFile) -> float | None:
    if _counts_as_chance(column, run):
        task = plan.tasks[run.task]
        number: float | None = task.chance.get(column.metric or task.primary_metric, 0.0)
    elif column.value != "report":
        number = _field(column.value, run)
    elif column.split is None:
        number = run.score
    else:
        number = run.values.get(f"report.{column.split}.{column.metric}")
    return number if column.minus is None else _minus(number, _field(column.minus, run))


def _field(name: str, run: RunRow) -> float | None:
    """Return a value of the result; the curve is that on the report split if there are no selection rows."""
    on_report = name.startswith("curve.") and run.curve_split != SELECTION
    return run.values.get(f"report_{name}" if on_report else name)


def _minus(number: float | None, other: float | None) -> float | None:
    return None if number is None or other is None else number - other
