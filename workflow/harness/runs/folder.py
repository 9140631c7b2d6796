"""The run folder: what lies in it, and when it counts as whole."""

import json
import logging
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.paths import shown
from harness.runs.atomic import write_text
from harness.runs.record import Result

log = logging.getLogger(__name__)


class RunFolder:
    """Paths of one run, and its record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.result_path = path / "result.json"
        self.config_path = path / "config.yaml"
        self.metrics_path = path / "metrics.jsonl"
        self.predictions_path = path / "predictions.parquet"
        self.provenance_path = path / "provenance.json"
        self.attempts = path / "attempts"
        """One log for each try. No rule declares this folder, so none deletes it."""
        self.checkpoints = path / "checkpoints"
        """What a later try goes on from; undeclared too. Gone when the record is there."""

    def result(self) -> Result | None:
        """Return the record, or None if there is no whole one (a broken one is warned about)."""
        try:
            text = self.result_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return Result.model_validate_json(text)
        except (ValidationError, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0]
            log.warning("%s is broken and counts as absent (%s)", shown(self.result_path), reason)
            return None

    def sweep(self) -> None:
        """Delete the half-written files of a try that was killed; the run's lock must be held."""
        for path in self.path.glob(".*.*"):
            if not path.name.startswith(".lock."):
                path.unlink(missing_ok=True)

    def set_broken_aside(self) -> bool:
        """Rename a broken ``result.json`` so that its absence can be seen; tell whether one was there."""
        if not self.result_path.exists() or self.result() is not None:
            return False
        self.result_path.replace(self.result_path.with_suffix(".json.broken"))
        return True

    def write_result(self, result: Result) -> None:
        """Write the record: the last thing that a run does."""
        text = json.dumps(result.model_dump(), indent=1, allow_nan=False) + "\n"
        write_text(self.result_path, text)

    def write_json(self, path: Path, content: dict[str, Any]) -> None:
        """Write another file of the folder."""
        write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")

    def attempt_logs(self) -> list[Path]:
        """Return the logs of all tries, oldest first."""
        return sorted(self.attempts.glob("*.log"), key=lambda p: int(p.stem))

    def next_attempt(self) -> Path:
        """Return the path of the log of a new try."""
        self.attempts.mkdir(parents=True, exist_ok=True)
        logs = self.attempt_logs()
        return self.attempts / f"{int(logs[-1].stem) + 1 if logs else 1}.log"
