"""The run folder: its files, and whether it is complete."""

import json
import logging
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.config.result import Result
from harness.util.files import write_text
from harness.util.paths import display_path

log = logging.getLogger(__name__)


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.result_path = path / "result.json"
        self.config_path = path / "config.yaml"
        self.metrics_path = path / "metrics.jsonl"
        self.predictions_path = path / "predictions.parquet"
        self.provenance_path = path / "provenance.json"
        self.attempts = path / "attempts"
        """One log per attempt. No rule declares this folder, so Snakemake never deletes it."""
        self.checkpoints = path / "checkpoints"
        """Checkpoints, not declared either. They are deleted after the result is written."""

    def result(self) -> Result | None:
        """Return the result, or None if it is missing or damaged; log a warning if it is damaged."""
        try:
            text = self.result_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return Result.model_validate_json(text)
        except (ValidationError, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0]
            log.warning("%s is damaged and counts as missing (%s)", display_path(self.result_path), reason)
            return None

    def sweep(self) -> None:
        """Delete the temporary files of an attempt that was killed. The caller must hold the run's lock."""
        for path in self.path.glob(".*.*"):
            path.unlink(missing_ok=True)

    def set_broken_aside(self) -> bool:
        """Rename a damaged ``result.json``, so that it counts as missing; return whether there was one."""
        if not self.result_path.exists() or self.result() is not None:
            return False
        self.result_path.replace(self.result_path.with_suffix(".json.broken"))
        return True

    def write_result(self, result: Result) -> None:
        """Write the result, as the last step of a run."""
        text = json.dumps(result.model_dump(), indent=1, allow_nan=False) + "\n"
        write_text(self.result_path, text)

    def write_json(self, path: Path, content: dict[str, Any]) -> None:
        """Write a JSON file of the folder."""
        write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")

    def provenance(self) -> dict[str, Any]:
        """Return the content of ``provenance.json``, empty if the file is missing."""
        if not self.provenance_path.is_file():
            return {}
        content: dict[str, Any] = json.loads(self.provenance_path.read_text(encoding="utf-8"))
        return content

    def attempt_logs(self) -> list[Path]:
        """Return the logs of all attempts, oldest first."""
        return sorted(self.attempts.glob("*.log"), key=lambda p: int(p.stem))

    def next_attempt(self) -> Path:
        """Return the path for the log of a new attempt."""
        self.attempts.mkdir(parents=True, exist_ok=True)
        logs = self.attempt_logs()
        return self.attempts / f"{int(logs[-1].stem) + 1 if logs else 1}.log"
