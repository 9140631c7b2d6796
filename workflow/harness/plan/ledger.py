"""The ledger of a search: what its trials spent and found, from their records alone."""

import json
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.paths import shown

Record = dict[str, Any]
"""One trial, a line of ``<variant>.trials.jsonl``."""
COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
SETTLED = (COMPLETE, PRUNED, FAILED)
"""Outcomes that count; a trial that was killed, stopped or in error is made again."""


def records_path(tuned: Path) -> Path:
    """Return the file with the trials behind a tuned file."""
    return tuned.with_suffix(".trials.jsonl")


def read_records(path: Path) -> list[Record]:
    """Return the trials in ``path``, in their order; raises HarnessError where a line is broken."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise HarnessError(f"{shown(path)}: not readable as JSON lines: {error}") from None


def ledger_of(records: list[Record]) -> dict[str, Any]:
    """Return counts, costs and scores; passes and seconds are those of all records, cut-short ones too."""
    settled = [r for r in records if r["outcome"] in SETTLED]
    scores = [r["score"] for r in settled]
    best = max((s for s in scores if s is not None), default=None)
    return {
        "trials": len(settled),
        **{word: sum(r["outcome"] == word for r in settled) for word in SETTLED},
        "replaced": len(records) - len(settled),
        "passes": sum(r["passes"] for r in records),
        "evaluation_passes": sum(r["evaluation_passes"] for r in records),
        "seconds": round(sum(r["seconds"] for r in records), 1),
        "best": best,
        "best_at": None if best is None else scores.index(best) + 1,
        "defaults": next((r["score"] for r in settled if r["defaults"]), None),
    }
