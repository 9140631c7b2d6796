"""What is left to do of a plan, and its estimated cost: one entry per study, and per task and model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.config.tuning import COST
from harness.plan.cost import Cost, cost_of, trial_cost
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.plan.study import Study


@dataclass(frozen=True)
class StudyCost:
    """Estimated cost of a study if every trial trains as long as one with the default arguments.

    A value is None if row counts are unknown, or if the budget does not determine it.
    """

    study: Study
    trial: float | None
    """Forward equivalents of one trial."""
    trials: float | None
    forward_equivalents: float | None
    """Of all trials."""


def study_cost(study: Study) -> StudyCost:
    """Return the estimated cost of ``study``."""
    trial = trial_cost(study.cells, study.tuning.seeds)
    kind, amount = study.tuning.kind, study.tuning.amount
    trials = {"trials": amount, COST: amount // trial if trial else None}
    costs = {"trials": amount * trial if trial else None, COST: amount}
    return StudyCost(study, trial, trials.get(kind), costs.get(kind))


@dataclass(frozen=True)
class RunsCost:
    """Estimated cost of some runs of one task and model. A value is None if that of one run is unknown."""

    task: str
    model: str
    runs: int
    forward_equivalents: float | None
    """Of training."""
    evaluation_examples: float | None
    gpu_hours: float | None


def runs_costs(plan: Plan, runs: Sequence[Run]) -> list[RunsCost]:
    """Return the cost of ``runs`` for each task and model, and that of all in an entry of task ``all``."""
    costs = {cell.name: cost_of(cell, plan.experiment.gpu_tflops) for cell in plan.cells}
    groups: dict[tuple[str, str], list[Cost]] = {}
    for run in runs:
        groups.setdefault((run.cell.task_name, run.cell.model_name), []).append(costs[run.cell.name])
    if groups:
        groups["all", ""] = [costs[run.cell.name] for run in runs]
    return [
        RunsCost(
            task,
            model,
            runs=len(group),
            forward_equivalents=_sum(cost.forward_equivalents for cost in group),
            evaluation_examples=_sum(cost.evaluation for cost in group),
            gpu_hours=_sum(cost.gpu_hours for cost in group),
        )
        for (task, model), group in groups.items()
    ]


def _sum(values: Iterable[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
