"""The value of a table's column for each run, with what must be said about it."""

import math
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from harness.plan.tables import Column, budget

RunRow = dict[str, Any]
"""One row of the frame; what is not there is None."""


@dataclass(frozen=True)
class Value:
    """What one run gives to one cell."""

    run: RunRow
    number: float | None
    marks: frozenset[str] = field(default=frozenset())
    """Marks that come from the value, not from the run: ended early, before the first evaluation."""


def run_values(
    column: Column, runs: list[RunRow], reference: list[RunRow] | None, plan: dict[str, Any]
) -> list[Value]:
    """Return the value of ``column`` for each run; ``reference`` are the runs it is compared with."""
    found = [_plain(column, run, reference, plan) for run in runs]
    if column.relative is None or reference is None:
        return found
    others = {r["seed"]: _number(column, r) for r in reference}
    if column.relative == "difference":
        return [Value(v.run, _minus(v.number, others.get(v.run["seed"])), v.marks) for v in found]
    known = [number for number in others.values() if number is not None]
    base = fmean(known) if known else None
    return [Value(v.run, v.number / base if v.number is not None and base else None, v.marks) for v in found]


def _plain(column: Column, run: RunRow, reference: list[RunRow] | None, plan: dict[str, Any]) -> Value:
    runs = budget(column.value)
    if runs is None:
        return Value(run, _number(column, run))
    other = reference[0] if reference else run
    whole, own = _passes(plan, other), _passes(plan, run)
    return Value(run, None) if whole is None or own is None else _at_share(run, runs * whole / own)


def _passes(plan: dict[str, Any], run: RunRow) -> float | None:
    """Return what training costs; None while nobody has counted the task's rows."""
    cell = plan["cells"][f"{run['task']}/{run['model']}/{run['variant']}"]
    passes: float | None = cell["cost"]["forward_equivalents"]
    return passes


def _at_share(run: RunRow, share: float) -> Value:
    """Return the score of the last evaluation within a share of the run's training.

    The last evaluation stands at the end of training, and every batch takes the same passes.
    """
    steps, scores = run["curve_steps"], run["curve_scores"]
    if not steps:
        return Value(run, None)
    slack = 1e-9
    within = [score for step, score in zip(steps, scores, strict=True) if step <= steps[-1] * share + slack]
    if not within:
        return Value(run, None, frozenset({"b"}))
    return Value(run, within[-1], frozenset({"e"} if share > 1 + slack else ()))


def _number(column: Column, run: RunRow) -> float | None:
    name = f"report.{column.split}.{column.metric}" if column.value == "report" else column.value
    if column.value == "report" and column.split is None:
        name = "score"
    number = present(run.get(name))
    return number if column.minus is None else _minus(number, present(run.get(column.minus)))


def _minus(number: float | None, other: float | None) -> float | None:
    return None if number is None or other is None else number - other


def present(value: Any) -> float | None:
    """Return a number, None for what is not there (the frame holds NaN)."""
    return None if value is None or math.isnan(value) else float(value)
