"""A study that several workers share: its next trial, its dead trials, and its budget.

Decisions that only one worker may take at a time are taken under the study's lock: no two workers start the
same trial, none exceeds the budget, and a running trial without a live worker counts as dead.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from itertools import product, takewhile
from pathlib import Path

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.trial import FrozenTrial, TrialState

from harness.config.tuned import SETTLED, Value, Values
from harness.config.tuning import COST, SETTINGS
from harness.engine.rng import stream_seed
from harness.methods.search_space import Choice, Dimension
from harness.plan.cost import evaluation_points, trial_cost
from harness.plan.plan import Plan
from harness.plan.study import Study
from harness.runs.provenance import current_commit
from harness.tuning.storage import open_storage, study_folder
from harness.util.lock import hold_lock, is_held

CODE = ("commit", "dirty")
KILLED, OVER_BUDGET = "killed", "over budget"
MOST_UNFIT = 50
"""Proposals in a row that do not fit the budget, after which the study ends."""
LOCK, LOCK_SECONDS = ".lock", 600.0


class SharedStudy:
    """One worker's view of a study."""

    def __init__(self, plan: Plan, study: Study, worker: int = 0) -> None:
        """Open the storage; workers count from 1, and 0 only reads.

        Raises:
            HarnessError: the storage cannot be reached or written.
        """
        self.plan, self.study, self.worker = plan, study, worker
        self.folder = study_folder(plan, study)
        commit = asdict(current_commit()) if worker else {}
        self.code = {key: commit[key] for key in CODE if key in commit}
        storage, name = open_storage(plan, study), f"{plan.experiment.name}/{study.name}-{study.hash}"
        with self._locked():
            if name not in optuna.get_all_study_names(storage):
                optuna.create_study(storage=storage, study_name=name, direction="maximize")
            self.optuna = optuna.load_study(storage=storage, study_name=name, pruner=_pruner(study))

    def ask(self) -> tuple[optuna.Trial, Values] | None:
        """Return a new trial and its values, None when the budget is spent."""
        with self._locked():
            self._fail_dead_trials()
            while not self.is_spent():
                trial, values = self._propose()
                if self._fits_budget(trial, values):
                    return trial, values
                self.fail(trial, OVER_BUDGET)  # a cheaper proposal may fit
            return None

    def _propose(self) -> tuple[optuna.Trial, Values]:
        """Return a new trial.

        It has a new sampler, seeded by the number of this worker's trials, so the search resumes from its
        trials only.
        """
        mine = [t for t in self.trials() if t.user_attrs.get("worker") == self.worker]
        number = sum(is_settled(t) or t.user_attrs.get("outcome") == OVER_BUDGET for t in mine)
        seed = stream_seed(number, "tuning", self.study.hash, str(self.worker))
        self.optuna.sampler = optuna.samplers.TPESampler(seed=seed % 2**32)
        self._enqueue_defaults()
        trial = self.optuna.ask(_distributions(self.study))
        trial.set_user_attr("worker", self.worker)
        trial.set_user_attr("code", self.code)
        return trial, {**self.study.defaults(), **trial.params}

    def tell(self, trial: optuna.Trial, outcome: str, score: float | None) -> None:
        """End a trial that counts. One without a score is reported as pruned, so that the sampler learns."""
        trial.set_user_attr("outcome", outcome)
        state = TrialState.COMPLETE if score is not None else TrialState.PRUNED
        self.optuna.tell(trial, score, state=state)

    def fail(self, trial: optuna.Trial, reason: str) -> None:
        """End a trial that does not count."""
        trial.set_user_attr("outcome", reason)
        self.optuna.tell(trial, state=TrialState.FAIL)

    def fail_dead_trials(self) -> None:
        """Fail the running trials whose worker is gone."""
        with self._locked():
            self._fail_dead_trials()

    def trials(self) -> list[FrozenTrial]:
        """Return every trial, in the order of their numbers."""
        return self.optuna.get_trials(deepcopy=False)

    def is_spent(self) -> bool:
        """Return whether the budget allows no further trial beside those that run."""
        tuning, trials = self.study.tuning, self.trials()
        if tuning.kind == "trials":
            return sum(is_settled(t) or t.state == TrialState.RUNNING for t in trials) >= tuning.amount
        spent = sum(_spent(t, tuning.kind) for t in trials)
        if tuning.kind != COST:
            return spent >= tuning.amount
        return spent + self._cheapest > tuning.amount or _unfit_in_a_row(trials) >= MOST_UNFIT

    @cached_property
    def _cheapest(self) -> float:
        """Cost of the cheapest trial, at a corner of the space: costs are monotonic in each argument."""
        defaults, study = self.study.defaults(), self.study
        corners = {name: _corners(dimension) for name, dimension in study.space.items()}
        costly = [
            name
            for name, values in corners.items()
            if len({self._cost({**defaults, name: value}) for value in values}) > 1
        ]
        return min(
            self._cost({**defaults, **dict(zip(costly, values, strict=True))})
            for values in product(*(corners[name] for name in costly))
        )

    def _cost(self, values: Values) -> int:
        """Return the cost of a complete trial with these values in forward equivalents."""
        return trial_cost(self.study.cells_with(values, self.study.name), self.study.tuning.seeds) or 0

    def worker_folder(self, worker: int) -> Path:
        """Return the folder whose lock a worker holds as long as it works."""
        return self.folder / "workers" / str(worker)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with hold_lock(self.folder, LOCK, LOCK_SECONDS):
            yield

    def _fail_dead_trials(self) -> None:
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and not self._is_alive(trial):
                self.optuna.tell(trial.number, state=TrialState.FAIL)  # without an outcome: it was killed

    def _is_alive(self, trial: FrozenTrial) -> bool:
        """Return whether another live worker runs the trial; this one is here, so it does not."""
        owner = trial.user_attrs.get("worker")
        return owner not in (None, self.worker) and is_held(self.worker_folder(owner))

    def _enqueue_defaults(self) -> None:
        """Make the default arguments the first trial: a search is worth what it gains over them."""
        tried = [t for t in self.trials() if not t.state.is_finished() or is_settled(t) or _is_unfit(t)]
        if not any(t.user_attrs.get("defaults") for t in tried):
            varied = _distributions(self.study)
            first = {name: value for name, value in self.study.defaults().items() if name in varied}
            self.optuna.enqueue_trial(first, user_attrs={"defaults": True})

    def _fits_budget(self, trial: optuna.Trial, values: Values) -> bool:
        """Record what a trial will cost; return whether a budget of forward equivalents has that left."""
        cost = self._cost(values)
        trial.set_user_attr("cost", cost)
        used = sum(_spent(t, COST) for t in self.trials() if t.number != trial.number)
        return self.study.tuning.kind != COST or used + cost <= self.study.tuning.amount


def is_settled(trial: FrozenTrial) -> bool:
    """Return whether a trial ended in a way that counts."""
    return trial.state.is_finished() and trial.user_attrs.get("outcome") in SETTLED


def _spent(trial: FrozenTrial, kind: str) -> float:
    """Return the cost or seconds of a trial, whether it counts or was killed.

    A running one counts with all that it may spend.
    """
    if kind == COST and trial.state == TrialState.RUNNING:
        return float(trial.user_attrs.get("cost", 0.0))
    return float(trial.user_attrs.get("record", {}).get(kind, 0.0))


def _is_unfit(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get("outcome") == OVER_BUDGET


def _unfit_in_a_row(trials: list[FrozenTrial]) -> int:
    """Return how many proposals since the last trial that was run did not fit the budget."""
    outcomes = [t.user_attrs.get("outcome") for t in trials if t.state.is_finished()]
    return sum(1 for _ in takewhile(lambda outcome: outcome == OVER_BUDGET, reversed(outcomes)))


def _corners(dimension: Dimension) -> Sequence[Value]:
    return dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)


def _distributions(study: Study) -> dict[str, BaseDistribution]:
    """Return Optuna's form of the dimensions that have more than one value."""
    distributions: dict[str, BaseDistribution] = {}
    for name, dimension in study.space.items():
        if isinstance(dimension, Choice):
            if len(dimension.values) > 1:
                distributions[name] = CategoricalDistribution(dimension.values)
        elif _is_whole(study, name):
            distributions[name] = IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
        else:
            distributions[name] = FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return distributions


def _is_whole(study: Study, name: str) -> bool:
    arguments = study.cells[0].method.Arguments.model_fields
    return name not in SETTINGS and arguments[name].annotation is int


def _pruner(study: Study) -> BasePruner:
    """Return the pruner; the step of a report is the number of the evaluation."""
    if study.tuning.pruner == "median":
        return MedianPruner(n_startup_trials=4)
    if study.tuning.pruner == "none":
        return NopPruner()
    evaluations = sum(evaluation_points(cell) or 1 for cell in study.cells)
    return HyperbandPruner(min_resource=1, max_resource=evaluations * study.tuning.seeds)
