"""The mirror: run folders are the truth, MLflow holds exactly one run for each of them."""

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.plan.plan import Plan
from harness.report.store import open_store
from harness.runs.folder import RunFolder
from harness.runs.record import Result

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)
PAGE = 1000


def experiment_id(client: "MlflowClient", plan: Plan) -> str:
    """Return the id of the plan's MLflow experiment, made now if need be."""
    name = plan.experiment.name
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    artifacts = (plan.results / "mlflow-artifacts" / name).resolve().as_uri()
    return str(client.create_experiment(name, artifact_location=artifacts))


def stored_runs(client: "MlflowClient", experiment: str) -> list["MlflowRun"]:
    """Return every run of an MLflow experiment that is not deleted."""
    runs: list[MlflowRun] = []
    token = None
    while True:
        page = client.search_runs([experiment], max_results=PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def mirror(plan: Plan) -> dict[str, int]:
    """Bring the store in line with the run folders; return how many runs were added, kept, superseded.

    It can be repeated and interrupted: a stored run counts only when its last tag, the hash of its
    ``result.json``, is there and fits.
    """
    client = open_store(plan.results)
    experiment = experiment_id(client, plan)
    stored: dict[str, list[MlflowRun]] = {}
    for run in stored_runs(client, experiment):
        stored.setdefault(run.data.tags.get("run_key", ""), []).append(run)
    counts = {"added": 0, "kept": 0, "superseded": 0}
    present = set()
    for path in sorted((plan.folder / "runs").glob("*/*/*/seed*/result.json")):
        folder = RunFolder(path.parent)
        result = folder.result()
        if result is None:
            continue
        present.add(result.run_key)
        old = stored.get(result.run_key, [])
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole = [r for r in old if r.data.tags.get("result_sha256") == content]
        for run in old:
            if run not in whole[:1]:
                client.delete_run(run.info.run_id)
        if whole:
            if "superseded" in whole[0].data.tags:
                client.delete_tag(whole[0].info.run_id, "superseded")
            counts["kept"] += 1
        else:
            _add(client, experiment, folder, result, content)
            counts["added"] += 1
    for key, runs in stored.items():
        for run in runs:
            if key not in present and "superseded" not in run.data.tags:
                client.set_tag(run.info.run_id, "superseded", "its run folder is gone")
                counts["superseded"] += 1
    return counts


def _add(client: "MlflowClient", experiment: str, folder: RunFolder, result: Result, content: str) -> None:
    from mlflow.entities import Metric, Param, RunTag

    config = _read_yaml(folder.config_path)
    provenance = _read_json(folder.provenance_path)
    name = f"{result.task}/{result.model}/{result.variant}/seed{result.seed}"
    run = client.create_run(experiment, run_name=name, tags={"run_key": result.run_key})
    now = int(time.time() * 1000)
    metrics = [Metric(key, value, now, step) for key, value, step in _metrics(folder, result)]
    params = [Param(key, str(value)[:500]) for key, value in _params(config)]
    tags = [RunTag(key, str(value)) for key, value in _tags(folder, result, provenance).items()]
    run_id = run.info.run_id
    for start in range(0, max(len(metrics), 1), PAGE - 200):
        first = start == 0
        part = metrics[start : start + PAGE - 200]
        client.log_batch(run_id, metrics=part, params=params if first else [], tags=tags if first else [])
    client.set_tag(run_id, "result_sha256", content)
    client.set_terminated(run_id, "FINISHED" if result.status != "diverged" else "FAILED")


def _metrics(folder: RunFolder, result: Result) -> list[tuple[str, float, int]]:
    """Return (name, value, step); a value that is not there is left out."""
    found: list[tuple[str, float, int]] = []
    for split, values in result.metrics.items():
        found += [(f"report.{split}.{metric}", value, 0) for metric, value in values.items()]
    found += [(f"curve.{k}", v, 0) for k, v in result.curve.model_dump().items() if v is not None]
    found += [(f"cost.{k}", v, 0) for k, v in result.cost.model_dump().items()]
    if result.flags.get("chance_p") is not None:
        found.append(("chance_p", result.flags["chance_p"], 0))
    sizes = result.flags.get("perturbation") or {}
    found += [(f"perturbation.{k}", float(v), 0) for k, v in sizes.items() if k != "resolved"]
    if folder.metrics_path.is_file():
        for line in folder.metrics_path.read_text(encoding="utf-8").splitlines():
            evaluation = json.loads(line)
            for metric, value in evaluation["metrics"].items():
                found.append((f"{evaluation['split']}.{metric}", value, evaluation["step"]))
    return found


def _params(config: dict[str, Any]) -> list[tuple[str, Any]]:
    groups = [(group, config.get(group, {})) for group in ("arguments", "protocol")]
    return [(f"{group}.{key}", value) for group, values in groups for key, value in values.items()]


def _tags(folder: RunFolder, result: Result, provenance: dict[str, Any]) -> dict[str, Any]:
    tags = result.model_dump(include={"experiment", "task", "model", "method", "variant", "seed", "status"})
    tags |= {f"hash.{name}": value for name, value in result.hashes.items()}
    tags |= {key: provenance.get(key) for key in ("commit", "dirty")}
    tags |= {"selection": result.selection["rule"], "reason": result.flags.get("reason") or ""}
    sizes = result.flags.get("perturbation")
    tags["perturbation"] = "" if sizes is None else "resolved" if sizes["resolved"] else "unresolved"
    return {**tags, "folder": str(folder.path)}


def _read_yaml(path: Path) -> dict[str, Any]:
    from harness.plan.yamlfile import read_yaml

    return read_yaml(path) if path.is_file() else {}


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
