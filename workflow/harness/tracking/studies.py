"""Studies in MLflow: one run per study, with its trials nested below it."""

import hashlib
from collections.abc import Iterator

from harness.config.tuned import FAILED as TRIAL_FAILED
from harness.config.tuned import SETTLED, TrialRecord, records_path
from harness.plan.searches import Search, ledger_of
from harness.runs.failures import FAILED_STATUS
from harness.tracking.entry import CONTENT, Entry, texts

PARENT = "mlflow.parentRunId"
COSTS = (
    "forward_equivalents", "forward_passes", "backward_passes", "input_backward_passes",
    "evaluation_examples", "seconds",
)  # fmt: skip


def study_entry(search: Search) -> Entry:
    """Return the entry of a study."""
    tuned = search.tuned
    ledger = ledger_of(search.records).model_dump(exclude_none=True)
    params = {
        "method": tuned.method,
        "model": tuned.model,
        "budget": tuned.budget,
        **{f"search.{key}": value for key, value in tuned.search.items()},
        **{f"space.{key}": value for key, value in tuned.space.items()},
        **{f"best.{key}": value for key, value in tuned.values.items()},
    }
    return Entry(
        name=f"search {search.name}",
        time=_time(search),
        tags={**_tags(search, tuned.study, "ok", _content(search)), "commit": str(tuned.commit)},
        params=texts(params),
        metrics=[(f"ledger.{key}", float(value), 0) for key, value in ledger.items()],
        artifacts=[search.path, records_path(search.path)],
    )


def trial_entries(search: Search, parent: str) -> Iterator[Entry]:
    """Yield the entry of each trial; ``parent`` is the id of the study's run."""
    study = _content(search)
    for record in search.records:
        text = f"{study}{parent}{record.model_dump_json()}"
        content = hashlib.sha256(text.encode()).hexdigest()
        status = "ok" if record.outcome in SETTLED and record.outcome != TRIAL_FAILED else FAILED_STATUS
        key = f"{search.tuned.study}/{record.trial}"
        yield Entry(
            name=f"trial {record.trial} of {search.name}",
            time=_time(search),
            tags={
                **_tags(search, key, status, content),
                PARENT: parent,
                **texts({"outcome": record.outcome, "reason": record.reason}),
            },
            params=texts(record.values),
            metrics=_trial_metrics(record),
        )


def _trial_metrics(record: TrialRecord) -> list[tuple[str, float, int]]:
    costs = {name: getattr(record, name) for name in COSTS}
    metrics = [(f"trial.{name}", float(cost), 0) for name, cost in costs.items() if cost is not None]
    if record.score is not None:
        metrics.append(("trial.score", record.score, 0))
    curve = [(step, score) for step, score in enumerate(record.scores, 1) if score is not None]
    return [*metrics, *(("trial.curve", score, step) for step, score in curve)]


def _content(search: Search) -> str:
    """Return the hash of the tuned file and its records."""
    content = search.path.read_bytes() + records_path(search.path).read_bytes()
    return hashlib.sha256(content).hexdigest()


def _time(search: Search) -> int:
    return search.path.stat().st_mtime_ns // 1_000_000


def _tags(search: Search, key: str, status: str, content: str) -> dict[str, str]:
    variant, study = search.tuned.variant, search.tuned.study
    tags = {"run_key": key, "variant": variant, "study": study, "search": search.name}
    return {**tags, "status": status, CONTENT: content}
