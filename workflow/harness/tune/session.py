"""A worker's view of a shared study: which trial is next, which trials are dead, when the budget is spent.

Everything that must be decided by one worker at a time is decided under the study's lock, so no two
workers start the same trial, none exceeds the budget, and a trial without an owner is a dead one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from filelock import FileLock
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.trial import FrozenTrial, TrialState

from harness.core.streams import stream_seed
from harness.methods.search import Choice
from harness.plan.cost import evaluation_points
from harness.plan.ledger import SETTLED
from harness.plan.plan import Plan
from harness.plan.study import Study, Values
from harness.plan.tuning import SETTINGS
from harness.runs.lock import is_held
from harness.tune.storage import open_storage, study_folder
from harness.tune.trial import declared_passes

KILLED, BEYOND = "killed", "beyond the budget"


class Session:
    """One worker of one study."""

    def __init__(self, plan: Plan, study: Study, worker: int = 0) -> None:
        """Open the storage; workers count from 1, and 0 only looks on.

        Raises:
            HarnessError: it cannot be reached or written.
        """
        self.plan, self.study, self.worker = plan, study, worker
        self.folder = study_folder(plan, study)
        self.storage = open_storage(plan, study)
        with self._alone():
            name, pruner = f"{study.name}-{study.hash}", _pruner(study)
            if name not in optuna.get_all_study_names(self.storage):
                optuna.create_study(storage=self.storage, study_name=name, direction="maximize")
            self.optuna = optuna.load_study(storage=self.storage, study_name=name, pruner=pruner)

    def next(self) -> tuple[optuna.Trial, Values] | None:
        """Return a new trial and its values, None when the budget is spent."""
        with self._alone():
            self.bury()
            if self.spent():
                return None
            mine = [t for t in self.trials() if is_settled(t) and t.user_attrs["worker"] == self.worker]
            # A sampler of its own for each trial: where a search stood is told by its trials alone.
            seed = stream_seed(len(mine), "tuning", self.study.hash, str(self.worker))
            self.optuna.sampler = optuna.samplers.TPESampler(seed=seed % 2**32)
            self._have_defaults()
            trial = self.optuna.ask(_distributions(self.study))
            trial.set_user_attr("worker", self.worker)
            values = {**self.study.defaults(), **trial.params}
            if not self._fits(trial, values):
                self.fail(trial, BEYOND)
                return None
            return trial, values

    def trials(self) -> list[FrozenTrial]:
        """Return every trial, in the order of their numbers."""
        return self.optuna.get_trials(deepcopy=False)

    def spent(self) -> bool:
        """Tell whether the budget allows no further trial beside those that run."""
        tuning, trials = self.study.tuning, self.trials()
        counted = [t for t in trials if is_settled(t) or t.state == TrialState.RUNNING]
        if tuning.kind == "trials":
            return len(counted) >= tuning.amount
        if any(t.user_attrs.get("outcome") == BEYOND for t in trials):
            return True
        return sum(_spent(t, tuning.kind) for t in counted) >= tuning.amount

    def bury(self) -> None:
        """Fail the running trials of workers that are gone."""
        with self._alone():
            for trial in self.trials():
                if trial.state == TrialState.RUNNING and not self._alive(trial):
                    self.fail(trial, KILLED)

    def fail(self, trial: optuna.Trial | FrozenTrial, why: str) -> None:
        """End a trial that does not count."""
        self.storage.set_trial_user_attr(trial._trial_id, "outcome", why)
        self.optuna.tell(trial.number, state=TrialState.FAIL)

    def worker_folder(self, worker: int) -> Any:
        """Return the folder whose lock a worker holds as long as it works."""
        return self.folder / "workers" / str(worker)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock", is_singleton=True):
            yield

    def _alive(self, trial: FrozenTrial) -> bool:
        """Tell whether a running trial's worker still works on it; this worker asks, so it does not."""
        owner = trial.user_attrs.get("worker")
        return owner not in (None, self.worker) and is_held(self.worker_folder(owner))

    def _have_defaults(self) -> None:
        """Let the first trial be the defaults: what a search is worth is what it gains over them."""
        open_or_settled = [t for t in self.trials() if not t.state.is_finished() or is_settled(t)]
        if not any(t.user_attrs.get("defaults") for t in open_or_settled):
            varied = _distributions(self.study)
            first = {name: value for name, value in self.study.defaults().items() if name in varied}
            self.optuna.enqueue_trial(first, user_attrs={"defaults": True})

    def _fits(self, trial: optuna.Trial, values: Values) -> bool:
        """Note what a trial will cost; tell whether a budget of passes has that left."""
        cost = declared_passes(self.study.cells_with(values, self.study.name), self.study.tuning.seeds)
        before = [t for t in self.trials() if is_settled(t) or t.state == TrialState.RUNNING]
        trial.set_user_attr("cost", cost)
        used = sum(_spent(t, "passes") for t in before if t.number != trial.number)
        return self.study.tuning.kind != "passes" or used + cost <= self.study.tuning.amount


def is_settled(trial: FrozenTrial) -> bool:
    """Tell whether a trial ended in a way that counts."""
    return trial.state.is_finished() and trial.user_attrs.get("outcome") in SETTLED


def _spent(trial: FrozenTrial, kind: str) -> float:
    """Return the passes or seconds of a trial; a running one is taken to spend all that it may."""
    if kind == "passes" and trial.state == TrialState.RUNNING:
        return float(trial.user_attrs.get("cost", 0.0))
    return float(trial.user_attrs.get("record", {}).get(kind, 0.0))


def _distributions(study: Study) -> dict[str, BaseDistribution]:
    """Return Optuna's form of the dimensions that have more than one value."""
    found: dict[str, BaseDistribution] = {}
    for name, d in study.space.items():
        if isinstance(d, Choice):
            if len(d.values) > 1:
                found[name] = CategoricalDistribution(d.values)
        elif _is_whole(study, name):
            found[name] = IntDistribution(int(d.low), int(d.high), log=d.log)
        else:
            found[name] = FloatDistribution(d.low, d.high, log=d.log)
    return found


def _is_whole(study: Study, name: str) -> bool:
    arguments = study.cells[0].method.Arguments.model_fields
    return name not in SETTINGS and arguments[name].annotation is int


def _pruner(study: Study) -> BasePruner:
    """Return the pruner; a report's step is the number of the evaluation."""
    if study.tuning.pruner == "median":
        return MedianPruner(n_startup_trials=4)
    if study.tuning.pruner == "none":
        return NopPruner()
    each = sum(evaluation_points(cell) or 1 for cell in study.cells)
    return HyperbandPruner(min_resource=1, max_resource=each * study.tuning.seeds)
