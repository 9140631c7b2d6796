"""From run folders to MLflow: each run exactly once, in every kind of store."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from support.experiments import toy_plan
from support.fake_runs import plant

from harness.cli import main
from harness.plan.grid import Run
from harness.plan.plan import Plan, write_plan
from harness.results.frame import MISSING, build_frame
from harness.runs.folder import RunFolder
from harness.runs.run_or_resume import FAILED
from harness.tracking.entry import CONTENT
from harness.tracking.mirror import MirrorCounts, mirror
from harness.tracking.store import Store, create_store, open_store, store_lock
from harness.util.errors import HarnessError
from harness.util.paths import ROOT

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an MLflow database with only its schema, which takes seconds to create."""
    results = tmp_path_factory.mktemp("store")
    create_store(results)
    return results / "mlflow.db"


@pytest.fixture
def plan(tmp_path: Path, fresh_database: Path) -> Plan:
    plan = toy_plan(
        tmp_path, tasks=["rotten_tomatoes", "stsb"], variants=["vanilla", "freelb"], seeds=[1, 2, 3]
    )
    write_plan(plan)
    shutil.copy(fresh_database, plan.results / "mlflow.db")
    return plan


def mirrored(plan: Plan) -> tuple[int, int, int]:
    """Mirror the run folders; return the numbers of added, kept and superseded runs."""
    counts = mirror(plan.results, plan.experiment.name)
    assert isinstance(counts, MirrorCounts)
    return counts.added, counts.kept, counts.superseded


def store_of(plan: Plan) -> Store:
    with store_lock(plan.results):
        return open_store(plan.results, plan.experiment.name)


def stored_runs(plan: Plan) -> dict[str, Any]:
    """Return the runs of the store by key, as MLflow's client returns them; each key is there once."""
    store = store_of(plan)
    runs = store.client.search_runs([store.experiment], max_results=1000)
    by_key = {run.data.tags["run_key"]: run for run in runs}
    assert len(by_key) == len(runs)
    return by_key


def check_store(plan: Plan) -> None:
    """Check that the store holds everything that the frame has of each run, and nothing else."""
    rows = {row.run_key: row for row in build_frame(plan) if row.status != MISSING}
    runs = {key: run for key, run in stored_runs(plan).items() if "superseded" not in run.data.tags}
    assert set(runs) == set(rows)
    for key, row in rows.items():
        data, client = runs[key].data, store_of(plan).client
        names = ["task", "model", "variant", "status", "reason", "seed"]
        assert [data.tags[name] for name in names] == [str(getattr(row, name)) for name in names]
        assert {name: data.metrics[name] for name in row.values} == pytest.approx(
            row.values, abs=0, rel=1e-15
        )
        assert data.tags[CONTENT] and runs[key].info.end_time
        if row.curve_steps:
            metric = f"selection.{plan.as_file().tasks[row.task].primary_metric}"
            points = client.get_metric_history(runs[key].info.run_id, metric)
            curve = sorted((point.step, point.value) for point in points)
            assert curve == list(zip(row.curve_steps, row.curve_scores, strict=True))
        if row.status != "failed":
            names = ["commit", "dirty", "selection", "perturbation", "subset", "contamination"]
            assert [data.tags[name] for name in names] == [getattr(row, name) for name in names]
            assert data.tags["hash.weights"] == row.weights
            assert data.params["protocol.epochs"] == "1" and data.params["arguments.dropout"]


def fail(plan: Plan, run: Run, last: str) -> None:
    """Write the log of a failed attempt."""
    path = RunFolder(plan.run_folder(run)).next_attempt()
    path.write_text(f"2026-01-01 INFO going\n{last}\n")


def plant_all(plan: Plan) -> None:
    """Plant runs of every kind."""
    for number, run in enumerate(plan.runs[:8]):
        flags: dict[str, Any] = {"chance_p": 0.001, "perturbation": {"l2": 0.1, "resolved": True}}
        plant(plan, run, 0.5 + number / 100, curve=[(1, 0.25), (2, 1 / 3)], subset="a part", **flags)
    plant(plan, plan.runs[8], None, "diverged")
    fail(plan, plan.runs[9], f"{FAILED}MemoryError: none left")


def test_the_mirror_holds_each_run_once(plan: Plan) -> None:
    folders = [plant(plan, run, 0.5) for run in plan.runs[:3]]
    assert mirrored(plan) == (3, 0, 0)
    assert mirrored(plan) == (0, 3, 0)
    plant(plan, plan.runs[0], 0.75)
    assert mirrored(plan) == (1, 2, 0)
    kept = folders[1].result_path.read_bytes()
    folders[1].result_path.unlink()
    assert mirrored(plan) == (0, 2, 1)
    assert [row.status for row in build_frame(plan)][:3] == ["ok", "missing", "ok"]
    assert stored_runs(plan)[plan.runs[1].key].data.tags["superseded"] == "its run folder is gone"
    check_store(plan)
    folders[1].result_path.write_bytes(kept)
    assert mirrored(plan) == (0, 3, 0)
    assert len(stored_runs(plan)) == 3
    assert [row.score for row in build_frame(plan)][:3] == [0.75, 0.5, 0.5]
    check_store(plan)


def test_a_failed_run_is_mirrored_until_a_retry_succeeds(plan: Plan) -> None:
    fail(plan, plan.runs[0], f"{FAILED}MemoryError: none left")
    assert mirrored(plan) == (1, 0, 0)
    row, (run,) = build_frame(plan)[0], stored_runs(plan).values()
    assert (row.status, row.reason) == ("failed", "MemoryError: none left")
    assert (run.data.tags["status"], run.data.tags["reason"]) == (row.status, row.reason)
    assert run.info.status == "FAILED"
    fail(plan, plan.runs[0], f"{FAILED}MemoryError: none left again")
    assert mirrored(plan) == (1, 0, 0)
    plant(plan, plan.runs[0], 0.5)
    assert mirrored(plan) == (1, 0, 0)
    (run,) = stored_runs(plan).values()
    assert run.data.tags["status"] == "ok" and run.info.status == "FINISHED"


def test_an_interrupted_run_is_killed_not_failed(plan: Plan) -> None:
    fail(plan, plan.runs[0], f"{FAILED}InterruptedRunError: stopped; checkpoint written")
    assert mirrored(plan) == (1, 0, 0)
    (run,) = stored_runs(plan).values()
    assert run.data.tags["status"] == "interrupted" and run.info.status == "KILLED"


def test_the_store_holds_everything_that_the_folders_hold(plan: Plan) -> None:
    plant_all(plan)
    assert mirrored(plan) == (10, 0, 0)
    check_store(plan)
    store = store_of(plan)
    files = {
        key: sorted(file.path for file in store.client.list_artifacts(run.info.run_id))
        for key, run in stored_runs(plan).items()
    }
    assert files.pop(plan.runs[9].key) == ["1.log"]
    assert list(files.values()) == [["config.yaml", "provenance.json", "result.json"]] * 9


def test_a_mirror_that_was_interrupted_is_completed(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_all(plan)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("mlflow.tracking.MlflowClient.log_artifact", interrupted)
        mirrored(plan)
    assert len(stored_runs(plan)) == 1
    assert mirrored(plan) == (10, 0, 0)
    check_store(plan)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_sync_rebuilds_a_lost_store_from_the_folders(plan: Plan, fresh_database: Path) -> None:
    plant_all(plan)
    shutil.copy(fresh_database, plan.results / "mlflow.db")
    assert main(["sync", "--out", str(plan.results)]) == 0
    check_store(plan)


def test_artifacts_that_only_a_server_can_write_are_a_plain_error(plan: Plan) -> None:
    plant_all(plan)
    with store_lock(plan.results):
        open_store(plan.results, "other").client.create_experiment("toy", "mlflow-artifacts:/1")
    with pytest.raises(HarnessError, match="the address of the server instead of its database"):
        mirrored(plan)


def track(plan: Plan, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "step", "track", str(plan.file), "--out", str(plan.results)]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_four_processes_at_once_on_a_fresh_store_leave_each_run_once(plan: Plan) -> None:
    (plan.results / "mlflow.db").unlink()
    for run in plan.runs[:6]:
        plant(plan, run, 0.5)
    started = [track(plan) for _ in range(4)]
    texts = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0] * 4, texts
    assert sum("6 added" in text for text in texts) == 1
    assert len(stored_runs(plan)) == 6
    check_store(plan)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the address of an MLflow server over the database in ``request.param``."""
    backend = request.getfixturevalue(request.param)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--backend-store-uri", backend]
    command += ["--artifacts-destination", str(tmp_path / "served")]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urlopen(f"{address}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail((tmp_path / "server.log").read_text())
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)


@pytest.fixture
def sqlite_uri(tmp_path: Path, fresh_database: Path) -> str:
    shutil.copy(fresh_database, tmp_path / "server.db")
    return f"sqlite:///{tmp_path}/server.db"


@pytest.fixture
def postgres_uri(tmp_path: Path) -> Iterator[str]:
    """Return the address of a new PostgreSQL server; skip without PostgreSQL."""
    pytest.importorskip("psycopg2")
    if not POSTGRES:
        pytest.skip("no PostgreSQL server under /usr/lib/postgresql")
    binaries, data, port = POSTGRES[-1].parent, tmp_path / "postgres", free_port()
    data.mkdir()
    prefix = []
    if os.geteuid() == 0:  # PostgreSQL refuses to be started by root
        for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
            folder.chmod(0o755)
        shutil.chown(data, "postgres", "postgres")
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    make = [binaries / "initdb", "-D", data, "-U", "harness", "--auth=trust", "--no-sync"]
    subprocess.run([*prefix, *make], check=True, capture_output=True, cwd="/")
    serve = [binaries / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", ""]
    with (tmp_path / "postgres.log").open("w") as log:
        process = subprocess.Popen([*prefix, *serve], stdout=log, stderr=log, cwd="/")
    try:
        ready = [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        for _ in range(60):
            if subprocess.run(ready, check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.5)
        yield f"postgresql://harness@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # do not wait for clients
        process.wait(timeout=30)


@pytest.mark.parametrize("server", ["sqlite_uri", "postgres_uri"], indirect=True)
def test_a_server_holds_what_the_folders_hold(
    plan: Plan, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    plant_all(plan)
    assert mirrored(plan) == (10, 0, 0)
    check_store(plan)
    plant(plan, plan.runs[0], 0.75)
    shutil.rmtree(plan.run_folder(plan.runs[1]))
    assert mirrored(plan) == (1, 8, 1)
    started = [track(plan, MLFLOW_TRACKING_URI=server) for _ in range(4)]
    assert [process.communicate()[0] and process.returncode for process in started] == [0] * 4
    check_store(plan)
    runs = stored_runs(plan)
    assert len(runs) == 10
    files = store_of(plan).client.list_artifacts(runs[plan.runs[0].key].info.run_id)
    assert {file.path for file in files} == {"result.json", "config.yaml", "provenance.json"}


def test_postgresql_itself_can_be_the_store(
    plan: Plan, postgres_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres_uri)
    plant_all(plan)
    assert mirrored(plan) == (10, 0, 0)
    assert mirrored(plan) == (0, 10, 0)
    check_store(plan)


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_store_that_does_not_answer_is_a_plain_error_within_seconds(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://me:secret@127.0.0.1:{port}/")
    start = time.monotonic()
    with pytest.raises(HarnessError, match=f"nothing answers at 127.0.0.1:{port}") as caught:
        open_store(plan.results, "toy")
    assert time.monotonic() - start < 10
    assert "secret" not in str(caught.value)
