"""What jobs touch on a real SLURM: no network, no MLflow store; searches and packs; what is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cluster
from login import Login
from support.hub_folder import harness, write_hub, write_task

pytestmark = pytest.mark.slurm


def test_fetched_once_then_searched_and_trained_without_network_or_mlflow_on_the_nodes(
    cluster: Cluster, make_login: Callable[[], Login], tmp_path: Path
) -> None:
    """Four workers of one search on two GPUs, then a pack of four runs."""
    login = make_login()
    hub, tasks = write_hub(tmp_path / "hub"), write_task(tmp_path / "tasks")
    login.configure(
        tasks=["pairs"],
        tasks_dirs=[str(tasks)],
        variants={"vanilla": {}, "tuned": {"of": "r3f", "arguments": "tuned"}},
        tuning={"trials": 8, "workers": 4, "pruner": "none"},
        seeds=[1, 2],
        runs_per_job=2,
        # A trial takes longer than one worker's head start, so that a second worker gets some.
        settings={"epochs": 20, "batch_size": 8, "selection_rows": 8, "max_length": 16},
    )
    done = harness("fetch", login.folder / "toy.yaml", "--hub", hub, "--out", login.folder / "results")
    assert done.returncode == 0, done.stderr
    notes = tmp_path / "notes"
    watch = str(Path(__file__).parent / "watch")
    paths = f"{watch}:{login.environment.get('PYTHONPATH', '')}"
    login.environment = {**login.environment, "PYTHONPATH": paths, "WATCH_NOTES": str(notes)}
    assert login.start().wait() == 0, login.output()

    history = cluster.history(login.folder)
    assert sorted(comment.split("_wildcards_")[0] for _, _, comment in history) == [
        *["rule_search"] * 4, *["rule_train_pack"] * 2
    ]  # fmt: skip
    assert {state for _, state, _ in history} == {"COMPLETED"}
    (records,) = login.folder.glob("results/toy/tuned/**/*.trials.jsonl")
    trials = [json.loads(line) for line in records.read_text().splitlines()]
    assert len(trials) >= 8 and len({trial["worker"] for trial in trials}) > 1
    assert "(2/2)" in login.table()
    message = notes.read_text().splitlines()
    assert any(line.startswith("login sqlite3.connect") and "mlflow.db" in line for line in message)
    on_nodes = [line for line in message if not line.startswith("login ")]
    assert not [line for line in on_nodes if "mlflow.db" in line or "socket." in line]


def test_what_slurm_would_refuse_is_reported_before_any_job(
    cluster: Cluster, make_login: Callable[[], Login]
) -> None:
    login = make_login()
    shipped = login.profile.read_text()
    login.edit("'gpu'", "'gpus'")
    login.edit("'bench'", "'branch'")  # a name that Snakemake has, too
    assert login.start().wait() == 1
    assert "did you mean 'gpu'? valid: debug, gpu, short" in login.output()
    assert "unknown account 'branch'" in login.output()
    login.profile.write_text(shipped.replace("gpu:1", "gpu:9"))
    assert login.start().wait() == 1
    assert "SLURM would refuse a job with" in login.output() and "--gres=gpu:9" in login.output()
    login.profile.write_text(shipped)
    login.edit(r"    gres: .*\n", "")
    assert login.start().wait() == 1
    assert "3 training jobs request no GPU" in login.output()
    assert cluster.history(login.folder) == []


def test_without_an_executor_a_cluster_experiment_does_not_start(
    cluster: Cluster, make_login: Callable[[], Login]
) -> None:
    login = make_login()
    login.configure(cluster=True)
    login.edit(r"executor: slurm .*", "")
    command = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--configfile", "toy.yaml"]
    done = subprocess.run(
        command, cwd=login.folder, env=login.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "no executor is given" in done.stdout + done.stderr
    assert not login.results()
