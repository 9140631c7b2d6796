"""An entry: all that MLflow is to hold of one run folder."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.plan.yamlfile import read_yaml
from harness.runs.folder import RunFolder
from harness.runs.record import Result

FAILED = "failed"
CONTENT = "result_sha256"
"""Tag that is written last: the hash of what the entry was made from."""
LONGEST = 500
"""Characters of a parameter or tag; MLflow refuses longer ones from some length on."""


@dataclass(frozen=True)
class Entry:
    """One MLflow run in the making."""

    name: str
    time: int
    """When the run ended, in milliseconds; start, end and every metric carry it."""
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int]] = field(default_factory=list)
    """(name, value, step), each once."""
    artifacts: list[Path] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The run key."""
        return self.tags["run_key"]

    @property
    def identity(self) -> tuple[str, str]:
        """Run key and variant."""
        return self.key, self.tags["variant"]

    @property
    def status(self) -> str:
        """MLflow's word for how the run ended."""
        return "FAILED" if self.tags["status"] in ("diverged", FAILED) else "FINISHED"


def content_hash(path: Path) -> str:
    """Return the hash by which a stored run is known to be that of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def result_entry(folder: RunFolder, result: Result, content: str) -> Entry:
    """Return the entry of a run that came to a result."""
    config = read_yaml(folder.config_path) if folder.config_path.is_file() else {}
    texts = [folder.result_path, folder.config_path, folder.provenance_path]
    return Entry(
        name=f"{result.task}/{result.model}/{result.variant}/seed{result.seed}",
        time=_time(folder.result_path),
        tags=_texts({**_tags(folder, result), CONTENT: content}),
        params=_texts(
            {f"{g}.{k}": v for g in ("arguments", "protocol") for k, v in config.get(g, {}).items()}
        ),
        metrics=list(dict.fromkeys(_metrics(folder, result))),
        artifacts=[path for path in texts if path.is_file()],
    )


def failed_entry(folder: RunFolder, key: str, reason: str, content: str) -> Entry:
    """Return the entry of a run that was tried and has no result."""
    task, model, variant, run = folder.path.parts[-4:]
    seed = run.partition("-")[0].removeprefix("seed")
    tags = {"run_key": key, "task": task, "model": model, "variant": variant, "seed": seed}
    tags |= {"status": FAILED, "reason": reason, "folder": str(folder.path), CONTENT: content}
    log = folder.attempt_logs()[-1]
    return Entry(f"{task}/{model}/{variant}/seed{seed}", _time(log), _texts(tags), artifacts=[log])


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {key: str(value)[:LONGEST] for key, value in values.items()}


def _metrics(folder: RunFolder, result: Result) -> list[tuple[str, float, int]]:
    """Return (name, value, step); a value that is not there is left out."""
    found: list[tuple[str, float, int]] = []
    for split, values in result.metrics.items():
        found += [(f"report.{split}.{metric}", value, 0) for metric, value in values.items()]
    for name in ("curve", "report_curve"):
        curve = getattr(result, name, None)
        found += [(f"{name}.{k}", float(v), 0) for k, v in (curve or {}) if v is not None]
    cost = result.cost
    found += [(f"cost.{k}", float(v), 0) for k, v in cost if isinstance(v, (int, float))]
    passes = cost.forward_passes + 2 * cost.backward_passes + cost.input_backward_passes
    found.append(("cost.forward_equivalents", float(passes), 0))
    if result.flags.get("chance_p") is not None:
        found.append(("chance_p", result.flags["chance_p"], 0))
    sizes = result.flags.get("perturbation") or {}
    found += [(f"perturbation.{k}", float(v), 0) for k, v in sizes.items() if k != "resolved"]
    return found + _evaluations(folder)


def _evaluations(folder: RunFolder) -> list[tuple[str, float, int]]:
    if not folder.metrics_path.is_file():
        return []
    lines = folder.metrics_path.read_text(encoding="utf-8").splitlines()
    return [
        (f"{line['split']}.{metric}", value, line["step"])
        for line in map(json.loads, lines)
        for metric, value in line["metrics"].items()
    ]


def _tags(folder: RunFolder, result: Result) -> dict[str, Any]:
    path = folder.provenance_path
    provenance = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    tags = result.model_dump(
        include={"run_key", "experiment", "task", "model", "method", "variant", "seed", "status"}
    )
    tags |= {f"hash.{name}": value for name, value in result.hashes.items()}
    tags |= {key: provenance.get(key) for key in ("commit", "dirty")}
    tags |= {key: result.flags.get(key) or "" for key in ("reason", "subset", "seen")}
    tags["selection"] = result.selection["rule"]
    sizes = result.flags.get("perturbation")
    tags["perturbation"] = "" if sizes is None else "resolved" if sizes["resolved"] else "unresolved"
    return {**tags, "folder": str(folder.path)}
