"""Finished studies of an experiment: tuned files, their trials, and a summary of cost and scores."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.config.plan_file import Ledger
from harness.config.tuned import SETTLED, TrialRecord, Tuned, read_records, read_tuned, records_path


@dataclass(frozen=True)
class Search:
    """A finished study: its tuned file and the records of its trials."""

    path: Path
    tuned: Tuned
    records: list[TrialRecord]

    @property
    def name(self) -> str:
        """``task/model/variant``."""
        return "/".join([*self.path.parts[-3:-1], self.tuned.variant])


def searches(folder: Path) -> list[Search]:
    """Return the finished studies in an experiment's folder, including those of earlier configurations."""
    paths = sorted((folder / "tuned").glob("*/*/*.yaml"))
    return [
        Search(p, read_tuned(p), read_records(records_path(p))) for p in paths if records_path(p).is_file()
    ]


def settled(records: list[TrialRecord]) -> list[TrialRecord]:
    """Return the records of trials that count: complete, pruned and failed ones."""
    return [record for record in records if record.outcome in SETTLED]


def ledger_of(records: list[TrialRecord]) -> Ledger:
    """Return the counts, costs and scores of a study. Costs include trials that do not count."""
    trials = settled(records)
    scores = [record.score for record in trials]
    best = max((score for score in scores if score is not None), default=None)
    return Ledger(
        trials=len(trials),
        complete=sum(record.outcome == "complete" for record in trials),
        pruned=sum(record.outcome == "pruned" for record in trials),
        failed=sum(record.outcome == "failed" for record in trials),
        replaced=len(records) - len(trials),
        forward_equivalents=_sum(record.forward_equivalents for record in records),
        evaluation_examples=_sum(record.evaluation_examples for record in records),
        seconds=round(sum(record.seconds for record in records), 1),
        best=best,
        best_at=None if best is None else scores.index(best) + 1,
        defaults=next((record.score for record in trials if record.defaults), None),
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
