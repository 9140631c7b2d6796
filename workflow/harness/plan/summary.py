"""What is left to do of a plan, and its estimated cost: one entry per study, and per task and model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.config.tuning import Tuning
from harness.methods.interface import PassCount
from harness.plan.cost import Cost, cost_of, training_passes
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.plan.study import Study


@dataclass(frozen=True)
class StudyCost:
    """Estimated cost of a study if every trial trains as long as one with the default arguments.

    A value is None if row counts are unknown, or if the budget does not determine it.
    """

    study: Study
    trial_passes: float | None
    """Forward equivalents of one trial."""
    trials: float | None
    passes: float | None
    """Forward equivalents of all trials."""


def study_cost(study: Study) -> StudyCost:
    """Return the estimated cost of ``study``."""
    costs = [training_passes(cell) for cell in study.cells]
    trial = _trial_passes(costs, study.tuning)
    kind, amount = study.tuning.kind, study.tuning.amount
    trials = {"trials": amount, "passes": amount // trial if trial else None}
    passes = {"trials": amount * trial if trial else None, "passes": amount}
    return StudyCost(study, trial, trials.get(kind), passes.get(kind))


def _trial_passes(costs: Sequence[PassCount | None], tuning: Tuning) -> float | None:
    counts = [cost.forward_equivalents for cost in costs if cost is not None]
    return sum(counts) * tuning.seeds if len(counts) == len(costs) else None


@dataclass(frozen=True)
class RunsCost:
    """Estimated cost of some runs of one task and model. A value is None if that of one run is unknown."""

    task: str
    model: str
    runs: int
    passes: float | None
    """Forward equivalents of training."""
    evaluation_passes: float | None
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
            passes=_sum(cost.forward_equivalents for cost in group),
            evaluation_passes=_sum(cost.evaluation for cost in group),
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
