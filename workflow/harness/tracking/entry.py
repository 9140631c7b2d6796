"""An entry: the MLflow run of one run folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.config.result import Result
from harness.results.frame import evaluations, result_values
from harness.runs.failures import FAILED_STATUS, INTERRUPTED_STATUS, Unfinished
from harness.runs.folder import RunFolder
from harness.runs.history import config_of_folder

CONTENT = "result_sha256"
"""Tag that is written last: the hash of the content of the entry."""
LONGEST = 500
"""Characters of a parameter or tag; MLflow limits their length."""
Metric = tuple[str, float, int]
"""Name, value and step."""


@dataclass(frozen=True)
class Entry:
    """The content of one MLflow run."""

    name: str
    time: int
    """End of the run in milliseconds; it is the time of the start, the end and every metric."""
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)
    """Each metric and step once."""
    artifacts: list[Path] = field(default_factory=list)

    @property
    def identity(self) -> tuple[str, str]:
        """Run key and variant: two variants of an experiment may have the same arguments."""
        return self.tags["run_key"], self.tags["variant"]

    @property
    def status(self) -> str:
        """MLflow's status."""
        if self.tags["status"] == INTERRUPTED_STATUS:
            return "KILLED"
        return "FAILED" if self.tags["status"] in ("diverged", FAILED_STATUS) else "FINISHED"


def result_entry(folder: RunFolder, result: Result, content: str) -> Entry:
    """Return the entry of a run with a result; ``content`` is the hash of its result.json."""
    config = config_of_folder(folder)
    groups = {"arguments": config.arguments, "protocol": config.protocol} if config else {}
    metrics = [(name, value, 0) for name, value in result_values(result)] + _evaluations(folder)
    files = [folder.result_path, folder.config_path, folder.provenance_path]
    return Entry(
        name=f"{result.task}/{result.model}/{result.variant}/seed{result.seed}",
        time=_time(folder.result_path),
        tags=texts({**_tags(folder, result), CONTENT: content}),
        params=texts({f"{group}.{k}": v for group, values in groups.items() for k, v in values.items()}),
        metrics=list(dict.fromkeys(metrics)),
        artifacts=[path for path in files if path.is_file()],
    )


def unfinished_entry(folder: RunFolder, key: str, state: Unfinished, content: str) -> Entry:
    """Return the entry of a run that was attempted and has no result."""
    task, model, variant, run = folder.path.parts[-4:]
    seed = run.partition("-")[0].removeprefix("seed")
    tags = {"run_key": key, "task": task, "model": model, "variant": variant, "seed": seed}
    tags |= {"status": state.status, "reason": state.reason, "folder": str(folder.path), CONTENT: content}
    log = folder.attempt_logs()[-1]
    return Entry(f"{task}/{model}/{variant}/seed{seed}", _time(log), texts(tags), artifacts=[log])


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


def texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return the values as texts that MLflow accepts."""
    return {key: str(value)[:LONGEST] for key, value in values.items()}


def _evaluations(folder: RunFolder) -> list[Metric]:
    return [
        (f"{line.split}.{metric}", value, line.step)
        for line in evaluations(folder)
        for metric, value in line.metrics.items()
    ]


def _tags(folder: RunFolder, result: Result) -> dict[str, object]:
    provenance = folder.provenance()
    names = {"run_key", "experiment", "task", "model", "method", "variant", "seed", "status"}
    return {
        **result.model_dump(include=names),
        **{f"hash.{name}": value for name, value in result.hashes.items()},
        **{key: provenance.get(key) for key in ("commit", "dirty")},
        **{key: result.flags.get(key) or "" for key in ("reason", "subset", "contamination")},
        "selection": result.selection["rule"],
        "perturbation": result.perturbation,
        "folder": str(folder.path),
    }
