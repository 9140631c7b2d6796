"""Searches in MLflow: one run a study, its trials nested below it."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.plan.ledger import Record, ledger_of, read_records, records_path
from harness.plan.tuned import Tuned, read_tuned
from harness.report.entry import CONTENT, FAILED, Entry
from harness.report.store import Store, identity_of

PARENT = "mlflow.parentRunId"
COUNTS = (
    "passes",
    "forward_passes",
    "backward_passes",
    "input_backward_passes",
    "evaluation_passes",
    "seconds",
)
IsThere = Callable[[tuple[str, str], str], bool]
"""Tells whether an entry of this identity and content is in the store already."""


@dataclass(frozen=True)
class Search:
    """A tuned file and the trials behind it."""

    path: Path
    tuned: Tuned
    records: list[Record]

    @property
    def content(self) -> str:
        """Hash of both files."""
        whole = self.path.read_bytes() + records_path(self.path).read_bytes()
        return hashlib.sha256(whole).hexdigest()

    @property
    def name(self) -> str:
        """``task/model/variant``."""
        return "/".join([*self.path.parts[-3:-1], self.tuned.variant])

    def parent(self) -> Entry:
        """Return the entry of the study."""
        ledger = {k: v for k, v in ledger_of(self.records).items() if v is not None}
        facts = {"method": self.tuned.method, "model": self.tuned.model, "budget": self.tuned.budget}
        facts |= {f"search.{k}": v for k, v in self.tuned.search.items()}
        facts |= {f"space.{k}": v for k, v in self.tuned.space.items()}
        facts |= {f"best.{k}": v for k, v in self.tuned.values.items()}
        return Entry(
            name=f"search {self.name}",
            time=self._time,
            tags=self._tags(self.tuned.study, "ok", self.content, commit=self.tuned.commit),
            params={key: str(value)[:500] for key, value in facts.items()},
            metrics=[(f"ledger.{key}", float(value), 0) for key, value in ledger.items()],
            artifacts=[self.path, records_path(self.path)],
        )

    def children(self, parent: str) -> Iterator[Entry]:
        """Yield the entry of each trial; ``parent`` is the id of the study's run."""
        for record in self.records:
            content = hashlib.sha256(f"{self.content}{parent}{json.dumps(record)}".encode()).hexdigest()
            status = "ok" if record["outcome"] in ("complete", "pruned") else FAILED
            tags = self._tags(f"{self.tuned.study}/{record['trial']}", status, content)
            curve = [(step, score) for step, score in enumerate(record["scores"], 1) if score is not None]
            metrics = [(f"trial.{key}", float(record[key]), 0) for key in COUNTS]
            if record["score"] is not None:
                metrics.append(("trial.score", record["score"], 0))
            yield Entry(
                name=f"trial {record['trial']} of {self.name}",
                time=self._time,
                tags={**tags, PARENT: parent, "outcome": record["outcome"], "reason": record["reason"][:500]},
                params={key: str(value) for key, value in record["values"].items()},
                metrics=[*metrics, *(("trial.curve", score, step) for step, score in curve)],
            )

    @property
    def _time(self) -> int:
        return self.path.stat().st_mtime_ns // 1_000_000

    def _tags(self, key: str, status: str, content: str, **more: Any) -> dict[str, str]:
        tags = {"run_key": key, "variant": self.tuned.variant, "study": self.tuned.study, "search": self.name}
        tags |= {name: str(value) for name, value in more.items()}
        return {**tags, "status": status, CONTENT: content}


def searches(folder: Path) -> list[Search]:
    """Return the finished searches of an experiment's folder, set-aside ones too."""
    paths = sorted((folder / "tuned").glob("*/*/*.yaml"))
    return [
        Search(p, read_tuned(p), read_records(records_path(p))) for p in paths if records_path(p).is_file()
    ]


def add_searches(store: Store, folder: Path, is_there: IsThere) -> int:
    """Add studies, then their trials, that the store does not hold yet; return how many."""
    found = searches(folder)
    new = [entry for entry in map(Search.parent, found) if not is_there(entry.identity, entry.tags[CONTENT])]
    store.add(new)
    ids = {(*identity_of(run), run.tags.get(CONTENT)): run.id for run in store.runs()} if found else {}
    for search in found:
        parent = search.parent()
        trials = search.children(ids[*parent.identity, parent.tags[CONTENT]])
        new += (missing := [t for t in trials if not is_there(t.identity, t.tags[CONTENT])])
        store.add(missing)
    return len(new)
