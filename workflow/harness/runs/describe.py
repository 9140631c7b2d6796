"""What a run is and where it runs, written before its first batch: config.yaml and provenance.json."""

import json
from typing import Any

import torch
import yaml

from harness.plan.experiment import COMPUTING
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.atomic import write_text
from harness.runs.folder import RunFolder
from harness.runs.prepare import Prepared
from harness.runs.provenance import commit, machine, versions


def describe(plan: Plan, run: Run, folder: RunFolder, ready: Prepared, step: int) -> None:
    """Write both files; ``step`` is the batch after which this try goes on."""
    cell = run.cell
    settled: dict[str, Any] = {
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
    write_text(folder.config_path, yaml.safe_dump(settled, sort_keys=False, allow_unicode=True))
    device = ready.encoder.device
    facts = machine(str(device), torch.get_num_threads())
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    here = {**commit(), "versions": versions(), "machine": facts}
    provenance = {
        **here,
        "tries": [*_earlier_tries(folder), _this_try(folder, here, step)],
        "computing": plan.experiment.model_dump(include=set(COMPUTING)),
        "streams": ready.streams.seeds,
        "cell_identity": cell.identity,
        "rows": {split: rows.hash for split, rows in cell.task.rows.items()},
    }
    folder.write_json(folder.provenance_path, provenance)


def _this_try(folder: RunFolder, here: dict[str, Any], step: int) -> dict[str, Any]:
    logs = folder.attempt_logs()
    return {
        "log": f"attempts/{logs[-1].name}" if logs else None,
        "after_batch": step,
        "commit": here["commit"],
        "torch": here["versions"]["torch"],
        **{key: here["machine"][key] for key in ("host", "device", "threads", "slurm_job")},
    }


def _earlier_tries(folder: RunFolder) -> list[dict[str, Any]]:
    try:
        content = json.loads(folder.provenance_path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    tries: list[dict[str, Any]] = content.get("tries", [])
    return tries
