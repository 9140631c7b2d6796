"""The end of a search: the records of its trials, and the tuned file that training reads."""

from pathlib import Path
from typing import Any

import optuna
import yaml

from harness.config.plan_file import Ledger
from harness.config.tuned import (
    COMPLETE,
    SCHEMA_VERSION,
    SETTLED,
    TrialRecord,
    Tuned,
    read_tuned,
    records_path,
)
from harness.config.tuning import COST, SETTINGS
from harness.plan.plan import Plan
from harness.plan.searches import ledger_of, settled
from harness.plan.study import Study
from harness.tuning.shared_study import KILLED, OVER_BUDGET, SharedStudy
from harness.tuning.trial import TrialProgress
from harness.util.errors import HarnessError
from harness.util.files import write_text
from harness.util.paths import display_path

HEADER = (
    "# Found by a search on the selection rows (docs/tuning.md); training reads only this file.\n"
    "# Commit it, or a copy, to train with these values elsewhere: `arguments: FILE`.\n"
)


def write_tuned_file(plan: Plan, study: Study) -> Path:
    """Write the records of the trials, then the tuned file; return its path.

    Raises:
        HarnessError: the budget is not spent yet, a worker is still at work, or no trial has a score.
    """
    shared = SharedStudy(plan, study)
    records = records_of(shared)
    ledger = ledger_of(records)
    running = [record for record in records if record.outcome == "running"]
    if running or not shared.is_spent():
        raise HarnessError(
            f"{study.name}: the search is not finished ({ledger.trials} trials, {len(running)} running); "
            f"type: harness tune {display_path(plan.file)}"
        )
    if study.tuning.kind == "trials" and ledger.trials > study.tuning.amount:
        raise HarnessError(
            f"{study.name}: tuning.trials: {study.tuning.trials}, but the search has made {ledger.trials}; "
            f"set tuning.trials to {ledger.trials}, or delete {display_path(shared.folder)}"
        )
    path = plan.tuned_file(study)
    content = _tuned(study, records, ledger).model_dump()
    _set_aside_other(path, study)
    write_text(records_path(path), "".join(record.model_dump_json() + "\n" for record in records))
    write_text(path, HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return path


def records_of(shared: SharedStudy) -> list[TrialRecord]:
    """Return one record per trial, in the order of their numbers, without those that never started."""
    shared.fail_dead_trials()
    trials = [t for t in shared.trials() if t.user_attrs.get("outcome") != OVER_BUDGET]
    return [_record(t) for t in trials if t.state != optuna.trial.TrialState.WAITING]


def _record(trial: optuna.trial.FrozenTrial) -> TrialRecord:
    progress = {**TrialProgress().content(), **trial.user_attrs.get("record", {})}
    outcome = trial.user_attrs.get("outcome", KILLED) if trial.state.is_finished() else "running"
    scores = [score for score in progress["scores"] if score is not None]
    return TrialRecord(
        trial=trial.number,
        worker=trial.user_attrs.get("worker"),
        code=trial.user_attrs.get("code", {}),
        outcome=outcome,
        defaults=bool(trial.user_attrs.get("defaults")),
        values=trial.params,
        score=trial.value if outcome == COMPLETE else None,
        last_score=scores[-1] if scores else None,
        **progress,
    )


def _tuned(study: Study, records: list[TrialRecord], ledger: Ledger) -> Tuned:
    """Return the content of the tuned file. It holds no times, so equal searches give equal files."""
    counted = settled(records)
    if ledger.best_at is None:
        reasons = "; ".join(dict.fromkeys(record.reason for record in counted if record.reason))
        raise HarnessError(f"{study.name}: none of {len(counted)} trials has a score: {reasons}")
    best = counted[ledger.best_at - 1]
    values = {**study.defaults(), **best.values}
    return Tuned(
        schema_version=SCHEMA_VERSION,
        method=study.cells[0].method.name,
        variant=study.variant,
        tasks=[cell.task_name for cell in study.cells],
        model=study.model_name,
        arguments={name: value for name, value in values.items() if name not in SETTINGS},
        settings={name: value for name, value in values.items() if name in SETTINGS},
        selection={
            "metric": {cell.task_name: cell.task.primary_metric for cell in study.cells},
            "rows": {cell.task_name: cell.protocol.selection_rows for cell in study.cells},
            "score": ledger.best,
            "trial": ledger.best_at,
            "defaults": ledger.defaults,
        },
        study=study.hash,
        source=study.source,
        space={name: dimension.as_json() for name, dimension in study.space.items()},
        budget=study.tuning.budget,
        search=_search(study, records, ledger),
        commit=best.code.get("commit"),
        dirty=best.code.get("dirty"),
    )


def _search(study: Study, records: list[TrialRecord], ledger: Ledger) -> dict[str, Any]:
    """Return how the search was made, and whether it can be reproduced to the bit."""
    workers = {record.worker for record in settled(records)}
    reasons = [f"{len(workers)} workers shared it"] if len(workers) > 1 else []
    if study.tuning.kind == "seconds":
        reasons.append("its budget is time")
    if study.tuning.kind == COST and ledger.replaced:
        reasons.append("trials that were stopped or killed spent a part of its budget")
    if study.tuning.pruner == "hyperband" and ledger.replaced:
        reasons.append("hyperband's brackets follow the numbers of trials, and some were repeated")
    counts = ledger.model_dump(include={"trials", *SETTLED})
    return {
        "sampler": f"TPE, optuna {optuna.__version__}",
        "pruner": study.tuning.pruner,
        "seeds": study.tuning.seeds,
        "workers": len(workers),
        **counts,
        "reproducible": not reasons or f"no: {'; '.join(reasons)}",
    }


def _set_aside_other(path: Path, study: Study) -> None:
    """Rename the tuned file and records of another study: nothing is lost."""
    try:
        old = read_tuned(path).study if path.is_file() else study.hash
    except HarnessError:
        old = "broken"
    if old != study.hash:
        for file in (path, records_path(path)):
            if file.is_file():
                file.replace(file.with_name(file.name.replace(path.stem, f"{path.stem}.{old[:8]}", 1)))
