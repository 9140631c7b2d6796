"""What a run is and where it runs, written before its first batch: config.yaml and provenance.json."""

import json
import logging
from dataclasses import asdict
from typing import Any

import torch
import yaml

from harness.config.experiment import COMPUTING
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.folder import RunFolder
from harness.runs.provenance import Machine, current_commit, package_versions, this_machine
from harness.runs.session import TrainingSession
from harness.util.files import write_text

log = logging.getLogger(__name__)


def write_manifest(plan: Plan, run: Run, folder: RunFolder, session: TrainingSession, step: int) -> None:
    """Write both files; ``step`` is the batch after which this attempt resumes."""
    cell = run.cell
    resolved: dict[str, Any] = {
        "run": run.name,
        "run_key": run.key,
        "experiment": plan.experiment.name,
        "seed": run.seed,
        "task": cell.task.model_dump(mode="json"),
        "model": cell.model.model_dump(mode="json"),
        "variant": cell.variant,
        "method": cell.method.name,
        "arguments": cell.method.arguments.model_dump(mode="json"),
        "protocol": cell.protocol.model_dump(mode="json"),
    }
    write_text(folder.config_path, yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))
    commit, versions, machine = current_commit(), package_versions(), _machine(session)
    if commit.git_error:
        log.warning("%s: provenance is incomplete, because git failed: %s", run.name, commit.git_error)
    attempt = {
        "log": f"attempts/{folder.attempt_logs()[-1].name}",
        "after_batch": step,
        "commit": commit.commit,
        "torch": versions["torch"],
        **{key: getattr(machine, key) for key in ("host", "device", "threads", "slurm_job")},
    }
    provenance = {
        **asdict(commit),
        "versions": versions,
        "machine": {key: value for key, value in asdict(machine).items() if key != "gpu" or value},
        "attempts": [*_earlier_attempts(folder), attempt],
        "computing": plan.experiment.model_dump(include=set(COMPUTING)),
        "streams": session.streams.seeds,
        "cell_identity": cell.identity,
        "rows": {split: rows.hash for split, rows in cell.task.rows.items()},
    }
    folder.write_json(folder.provenance_path, provenance)


def _machine(session: TrainingSession) -> Machine:
    device = session.encoder.device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return this_machine(str(device), torch.get_num_threads(), gpu)


def _earlier_attempts(folder: RunFolder) -> list[Any]:
    """Return the attempts that an interrupted run has noted; none where the file is broken."""
    try:
        provenance = folder.provenance()
    except json.JSONDecodeError:
        return []
    return [*provenance.get("attempts", provenance.get("tries", []))]
