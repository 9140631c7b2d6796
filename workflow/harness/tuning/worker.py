"""A worker of a search: it runs one trial after the other until the budget is spent."""

import logging
import math

import optuna

from harness.config.tuned import COMPLETE, FAILED, PRUNED, Outcome, Values
from harness.engine.trainer import DivergenceError, Interrupted
from harness.plan.plan import Plan
from harness.plan.study import Study
from harness.runs.device import configure_torch
from harness.runs.stop import InterruptedRunError, StopRequest
from harness.tuning.shared_study import SharedStudy
from harness.tuning.trial import NoScoreError, TrialProgress, run_trial
from harness.util.lock import Lock, LostLockError, hold_lock

log = logging.getLogger(__name__)


class _Pruned(Exception):  # noqa: N818 - not an error: the pruner's decision
    """The pruner stops the trial."""


def run_trials(plan: Plan, study: Study, worker: int, threads: int, stop: StopRequest | None = None) -> int:
    """Run trials until the budget is spent; return how many. A finished study is left as it is.

    Raises:
        HarnessError: the storage cannot be used, the worker is already at work, or ``stop`` was requested;
            the next start repeats a trial that was stopped.
    """
    configure_torch(plan.experiment, threads)
    shared = SharedStudy(plan, study, worker)
    with hold_lock(shared.worker_folder(worker)) as lock:
        count = 0
        while (proposal := shared.ask()) is not None:
            _run_one(shared, lock, *proposal, stop)
            count += 1
            if stop:
                message = f"{study.name}: stopped after {count} trials; the same command resumes the search"
                raise InterruptedRunError(message, advanced=True)
    return count


def _run_one(
    shared: SharedStudy, lock: Lock, trial: optuna.Trial, values: Values, stop: StopRequest | None
) -> None:
    """Run one trial and record how it ended, if this worker still holds its lock."""
    study, progress = shared.study, TrialProgress()
    cells = study.cells_with(values, study.name)
    is_defaults = bool(trial.user_attrs.get("defaults"))

    def on_evaluation(last: bool) -> None:
        lock.check()
        trial.set_user_attr("record", progress.content())
        score = progress.scores[-1]
        if score is not None:
            trial.report(score, len(progress.scores))
            if not last and not is_defaults and trial.should_prune():
                raise _Pruned

    try:
        score = run_trial(shared.plan, cells, study.tuning.seeds, progress, on_evaluation, stop)
        _settle(shared, trial, progress, COMPLETE, score)
    except _Pruned:
        _settle(shared, trial, progress, PRUNED)
    except (DivergenceError, NoScoreError) as error:
        _settle(shared, trial, progress, FAILED, reason=str(error))
    except Interrupted:
        shared.fail(trial, "stopped")
        raise InterruptedRunError(
            f"{study.name}: trial {trial.number} was stopped; the same command repeats it"
        ) from None
    except LostLockError:
        raise  # the worker that took the lock has counted the trial as dead
    except Exception as error:
        shared.fail(trial, f"error: {type(error).__name__}: {error}")
        raise


def _settle(
    shared: SharedStudy,
    trial: optuna.Trial,
    progress: TrialProgress,
    outcome: Outcome,
    score: float | None = None,
    reason: str = "",
) -> None:
    """End a trial that counts."""
    if score is not None and not math.isfinite(score):
        outcome, score, reason = FAILED, None, f"the score is {score}"
    trial.set_user_attr("record", progress.content(reason))
    shared.tell(trial, outcome, score)
    result = outcome if score is None else f"{score:.4f}"
    values = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
    log.info(
        "%s: trial %d, %s%s; %s; %d forward equivalents, %.1f s",
        shared.study.name, trial.number, result, f" ({reason})" if reason else "", values,
        progress.forward_equivalents, progress.seconds,
    )  # fmt: skip


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
