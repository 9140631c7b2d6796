"""A worker: takes one trial after the other until the budget is spent."""

import logging
import math
from typing import Any

import optuna
from optuna.trial import TrialState

from harness.core.loop import DivergenceError, Interrupted
from harness.plan.ledger import COMPLETE, FAILED, PRUNED
from harness.plan.plan import Plan
from harness.plan.study import Study, Values
from harness.runs.device import settle_torch
from harness.runs.lock import run_lock
from harness.runs.stop import InterruptedRunError, StopRequest
from harness.tune.session import Session
from harness.tune.trial import Course, NoScoreError, run_trial

log = logging.getLogger(__name__)


class _Hopeless(Exception):  # noqa: N818 - no error: the pruner's verdict
    """The pruner stops the trial."""


def search(plan: Plan, study: Study, worker: int, threads: int, stop: StopRequest | None = None) -> int:
    """Run trials until the budget is spent; return how many. A finished study is left as it is.

    Raises:
        HarnessError: the storage cannot be used, the worker works elsewhere already, or ``stop`` was
            asked for; a trial that was cut short is made again by the next start.
    """
    settle_torch(plan.experiment, threads)
    session = Session(plan, study, worker)
    with run_lock(session.worker_folder(worker)):
        count = 0
        while (found := session.next()) is not None:
            _try(session, *found, stop)
            count += 1
            if stop:
                told = f"{study.name}: stopped after {count} trials; the same command goes on"
                raise InterruptedRunError(told, advanced=True)
    return count


def _try(session: Session, trial: optuna.Trial, values: Values, stop: StopRequest | None) -> None:
    """Run one trial and put down how it ended."""
    study, course = session.study, Course()
    cells = study.cells_with(values, study.name)
    is_defaults = bool(trial.user_attrs.get("defaults"))

    def check() -> None:
        if stop:
            raise Interrupted

    def told(so_far: Course, last: bool) -> None:
        trial.set_user_attr("record", so_far.content())
        score = so_far.scores[-1]
        if score is not None:
            trial.report(score, len(so_far.scores))
            if not last and not is_defaults and trial.should_prune():
                raise _Hopeless

    try:
        score = run_trial(session.plan, cells, study.tuning.seeds, course, told, check)
        _settle(session, trial, course, COMPLETE, score)
    except _Hopeless:
        _settle(session, trial, course, PRUNED)
    except (DivergenceError, NoScoreError) as error:
        _settle(session, trial, course, FAILED, why=str(error))
    except Interrupted:
        session.fail(trial, "stopped")
        raise InterruptedRunError(
            f"{study.name}: trial {trial.number} was stopped; the same command makes it again"
        ) from None
    except Exception as error:
        session.fail(trial, f"error: {type(error).__name__}: {error}")
        raise


def _settle(
    session: Session,
    trial: optuna.Trial,
    course: Course,
    outcome: str,
    score: float | None = None,
    why: str = "",
) -> None:
    """End a trial that counts. A failed one is told as pruned, so that the sampler learns from it."""
    if score is not None and not math.isfinite(score):
        outcome, score, why = FAILED, None, f"the score is {score}"
    trial.set_user_attr("record", course.content(why))
    trial.set_user_attr("outcome", outcome)
    state = TrialState.COMPLETE if score is not None else TrialState.PRUNED
    session.optuna.tell(trial, score, state=state)
    shown = outcome if score is None else f"{score:.4f}"
    values = ", ".join(f"{k} {_short(v)}" for k, v in trial.params.items())
    log.info(
        "%s: trial %d, %s%s; %s; %.0f passes, %.1f s",
        session.study.name, trial.number, shown, f" ({why})" if why else "", values, course.passes,
        course.seconds,
    )  # fmt: skip


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
