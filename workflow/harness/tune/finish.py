"""The end of a search: the trials written down, and the tuned file that training reads."""

import json
from pathlib import Path
from typing import Any

import optuna
import yaml

from harness.errors import HarnessError
from harness.paths import shown
from harness.plan.ledger import COMPLETE, SETTLED, Record, ledger_of, records_path
from harness.plan.plan import Plan
from harness.plan.study import Study
from harness.plan.tuned import SCHEMA_VERSION, Tuned, read_tuned
from harness.plan.tuning import SETTINGS
from harness.runs.atomic import write_text
from harness.tune.session import BEYOND, Session
from harness.tune.trial import Course

ABOUT = (
    "# Found by a search on the selection rows (docs/tuning.md); training reads this file alone.\n"
    "# Commit it, or a copy, to train with these values elsewhere: `arguments: FILE`.\n"
)


def finish(plan: Plan, study: Study) -> Path:
    """Write the records of the trials, then the tuned file; return it.

    Raises:
        HarnessError: the budget is not spent yet, a worker is still at work, or no trial has a score.
    """
    session = Session(plan, study)
    records = records_of(session)
    running = [r for r in records if r["outcome"] == "running"]
    if running or not session.spent():
        done = ledger_of(records)["trials"]
        raise HarnessError(
            f"{study.name}: the search is not done ({done} trials, {len(running)} at work); "
            f"type: python -m harness tune {shown(plan.file)}"
        )
    if study.tuning.kind == "trials" and ledger_of(records)["trials"] > study.tuning.amount:
        raise HarnessError(
            f"{study.name}: tuning.trials: {study.tuning.trials} asked for, but the search has made "
            f"{ledger_of(records)['trials']}; ask for as many, or delete {shown(session.folder)}"
        )
    path = plan.tuned_file(study)
    content = _tuned(study, records).model_dump()
    _keep_other(path, study)
    write_text(records_path(path), "".join(json.dumps(r, allow_nan=False) + "\n" for r in records))
    write_text(path, ABOUT + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return path


def records_of(session: Session) -> list[Record]:
    """Return one record a trial, in the order of their numbers, less those that were never begun."""
    session.bury()
    trials = [t for t in session.trials() if t.user_attrs.get("outcome") != BEYOND]
    return [_record(session, t) for t in trials if t.state != optuna.trial.TrialState.WAITING]


def _record(session: Session, trial: optuna.trial.FrozenTrial) -> Record:
    course = {**Course().content(), **trial.user_attrs.get("record", {})}
    outcome = trial.user_attrs.get("outcome", "") if trial.state.is_finished() else "running"
    told = [score for score in course["scores"] if score is not None]
    return {
        "trial": trial.number,
        "worker": trial.user_attrs.get("worker"),
        "code": trial.user_attrs.get("code", {}),
        "outcome": outcome,
        "defaults": bool(trial.user_attrs.get("defaults")),
        "values": trial.params,
        "score": trial.value if outcome == COMPLETE else None,
        "last_score": told[-1] if told else None,
        **course,
    }


def _tuned(study: Study, records: list[Record]) -> Tuned:
    """Return the tuned file's content: nothing of the clock, so that equal searches give equal files."""
    ledger = ledger_of(records)
    settled = [r for r in records if r["outcome"] in SETTLED]
    if ledger["best"] is None:
        reasons = "; ".join(dict.fromkeys(r["reason"] for r in settled if r["reason"]))
        raise HarnessError(f"{study.name}: none of {len(settled)} trials has a score: {reasons}")
    best = settled[ledger["best_at"] - 1]
    values = {**study.defaults(), **best["values"]}
    return Tuned(
        schema_version=SCHEMA_VERSION,
        method=study.cells[0].method.name,
        variant=study.variant,
        tasks=[cell.task_name for cell in study.cells],
        model=study.model_name,
        arguments={name: value for name, value in values.items() if name not in SETTINGS},
        settings={name: value for name, value in values.items() if name in SETTINGS},
        selection={
            "metric": {cell.task_name: cell.task.rank for cell in study.cells},
            "rows": {cell.task_name: cell.protocol.selection_rows for cell in study.cells},
            "score": ledger["best"],
            "trial": ledger["best_at"],
            "defaults": ledger["defaults"],
        },
        study=study.hash,
        source=study.source,
        space={name: dimension.as_json() for name, dimension in study.space.items()},
        budget=study.tuning.budget,
        search=_search(study, records, ledger),
        commit=best["code"].get("commit"),
        dirty=best["code"].get("dirty"),
    )


def _search(study: Study, records: list[Record], ledger: dict[str, Any]) -> dict[str, Any]:
    workers = {r["worker"] for r in records if r["outcome"] in SETTLED}
    reasons = [f"{len(workers)} workers shared it"] if len(workers) > 1 else []
    if study.tuning.kind == "seconds":
        reasons.append("its budget is time")
    if study.tuning.pruner == "hyperband" and ledger["replaced"]:
        reasons.append("hyperband's brackets follow the numbers of trials, and some were made again")
    return {
        "sampler": f"TPE, optuna {optuna.__version__}",
        "pruner": study.tuning.pruner,
        "seeds": study.tuning.seeds,
        "workers": len(workers),
        **{word: ledger[word] for word in ("trials", *SETTLED)},
        "reproducible": not reasons or f"no: {'; '.join(reasons)}",
    }


def _keep_other(path: Path, study: Study) -> None:
    """Set another study's tuned file and records aside: nothing is lost."""
    try:
        old = read_tuned(path).study if path.is_file() else study.hash
    except HarnessError:
        old = "broken"
    if old != study.hash:
        for one in (path, records_path(path)):
            if one.is_file():
                one.replace(one.with_name(one.name.replace(path.stem, f"{path.stem}.{old[:8]}", 1)))
