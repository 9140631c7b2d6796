"""From run folders to MLflow and back into a frame: exactly once, whatever the store."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pandas as pd
import pytest
import toyplan
from planted import ROWS, frame_from_folders, plant

from harness.cli import main
from harness.errors import HarnessError
from harness.paths import ROOT
from harness.plan.grid import Run
from harness.plan.plan import Plan, write_plan
from harness.report import digest
from harness.report.comparisons import comparisons_path, write_comparisons
from harness.report.database import DatabaseStore
from harness.report.frame import build_frame, frame_path, write_frame
from harness.report.mirror import entry_of, folders, mirror
from harness.report.server import ServerStore
from harness.report.store import open_client, open_store, store_lock
from harness.runs.folder import RunFolder

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an MLflow database with its schema and nothing else (making one takes seconds)."""
    results = tmp_path_factory.mktemp("store")
    with store_lock(results):
        open_client(results)
    return results / "mlflow.db"


@pytest.fixture
def plan(tmp_path: Path, fresh_database: Path) -> Plan:
    made = toyplan.plan(
        tmp_path, tasks=["rotten_tomatoes", "stsb"], variants=["vanilla", "freelb"], seeds=[1, 2, 3]
    )
    write_plan(made)
    shutil.copy(fresh_database, made.results / "mlflow.db")
    return made


def mirrored(plan: Plan) -> dict[str, int]:
    return mirror(plan.results, plan.experiment.name)


def fail(plan: Plan, run: Run, last: str) -> None:
    """Leave the log of a try that came to nothing."""
    path = RunFolder(plan.run_folder(run)).next_attempt()
    path.write_text(f"2026-01-01 INFO going\n{last}\n")


def plant_all(plan: Plan) -> None:
    """Plant runs of every kind."""
    for number, run in enumerate(plan.runs[:8]):
        flags: dict[str, Any] = {"chance_p": 0.001, "perturbation": {"l2": 0.1, "resolved": True}}
        plant(plan, run, 0.5 + number / 100, curve=[(1, 0.25), (2, 1 / 3)], subset="a part", **flags)
    plant(plan, plan.runs[8], None, "diverged")
    fail(plan, plan.runs[9], f"{digest.FAILED}MemoryError: none left")


def test_the_mirror_holds_each_run_once(plan: Plan) -> None:
    folders = [plant(plan, run, 0.5) for run in plan.runs[:3]]
    assert mirrored(plan) == {"added": 3, "kept": 0, "superseded": 0}
    assert mirrored(plan) == {"added": 0, "kept": 3, "superseded": 0}
    plant(plan, plan.runs[0], 0.75)
    assert mirrored(plan) == {"added": 1, "kept": 2, "superseded": 0}
    kept = folders[1].result_path.read_bytes()
    folders[1].result_path.unlink()
    assert mirrored(plan) == {"added": 0, "kept": 2, "superseded": 1}
    assert build_frame(plan)["status"].tolist()[:3] == ["ok", "missing", "ok"]
    folders[1].result_path.write_bytes(kept)
    assert mirrored(plan) == {"added": 0, "kept": 3, "superseded": 0}
    runs = open_store(plan.results, "toy").runs()
    assert len(runs) == len({run.tags["run_key"] for run in runs}) == 3
    assert build_frame(plan)["score"].tolist()[:3] == [0.75, 0.5, 0.5]


def test_a_failed_run_is_mirrored_until_a_retry_succeeds(plan: Plan) -> None:
    fail(plan, plan.runs[0], f"{digest.FAILED}MemoryError: none left")
    assert mirrored(plan)["added"] == 1
    row = build_frame(plan).iloc[0]
    assert (row["status"], row["reason"]) == ("failed", "MemoryError: none left")
    fail(plan, plan.runs[0], f"{digest.FAILED}MemoryError: none left again")
    assert mirrored(plan) == {"added": 1, "kept": 0, "superseded": 0}
    plant(plan, plan.runs[0], 0.5)
    assert mirrored(plan) == {"added": 1, "kept": 0, "superseded": 0}
    (run,) = open_store(plan.results, "toy").runs()
    assert run.tags["status"] == "ok"


def test_a_run_at_work_has_not_failed(plan: Plan) -> None:
    from harness.runs.lock import run_lock

    fail(plan, plan.runs[0], "INFO still going")
    with run_lock(plan.run_folder(plan.runs[0])):
        assert digest.write_digest(plan) is None
    assert digest.write_digest(plan) is not None


def test_folders_give_the_frame_that_mlflow_gives(plan: Plan) -> None:
    plant_all(plan)
    mirrored(plan)
    frame = write_frame(plan)
    pd.testing.assert_frame_equal(frame, frame_from_folders(plan))
    assert frame["status"].tolist() == ["ok"] * 8 + ["diverged", "failed", "missing", "missing"]
    assert frame["curve_scores"][0] == [0.25, 1 / 3]
    assert frame["subset"].tolist()[:9] == ["a part"] * 8 + [""]
    stored = pd.read_parquet(frame_path(plan))
    assert stored["score"].equals(frame["score"])


def test_comparisons_hold_every_reported_example_of_every_run(plan: Plan) -> None:
    plant_all(plan)
    found = pd.read_parquet(write_comparisons(plan))
    assert list(found.columns) == ["task", "model", "variant", "seed", "split", "row", "label", "prediction"]
    assert len(found) == 8 * ROWS
    for (task, variant, seed), rows in found.groupby(["task", "variant", "seed"], observed=True):
        (run,) = [r for r in plan.runs if r.name == f"{task}/tiny/{variant}/seed{seed}"]
        whole = pd.read_parquet(RunFolder(plan.run_folder(run)).predictions_path)
        logits = whole[[c for c in whole if c.startswith("logit_")]].to_numpy()
        expected = logits[:, 0] if task == "stsb" else logits.argmax(1)
        assert rows["prediction"].tolist() == expected.tolist()
        assert rows["label"].tolist() == whole["label"].tolist()
    found.to_parquet(comparisons_path(plan.folder))  # as earlier versions wrote it: it does not say from what
    pd.testing.assert_frame_equal(pd.read_parquet(write_comparisons(plan)), found)


def content(database: Path, experiment: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of an experiment's runs, with the run's name in place of its id."""
    connection = sqlite3.connect(database)
    runs = connection.execute(
        "select r.* from runs r join experiments e using (experiment_id) where e.name = ?", [experiment]
    )
    names = [column[0] for column in runs.description]
    found: dict[str, list[tuple[Any, ...]]] = {"runs": []}
    ids = {}
    for row in runs:
        facts = dict(zip(names, row, strict=True))
        ids[facts["run_uuid"]] = facts["name"]
        facts["artifact_uri"] = facts["artifact_uri"].replace(facts["run_uuid"], "ID").rpartition("ID")[2]
        facts.pop("run_uuid"), facts.pop("experiment_id")
        found["runs"].append(tuple(facts.items()))
    tables = [t for (t,) in connection.execute("select name from sqlite_master where type = 'table'")]
    for table in tables:
        columns = [c[1] for c in connection.execute(f"pragma table_info({table})")]
        if "run_uuid" in columns and table != "runs":
            rows = [
                dict(zip(columns, row, strict=True)) for row in connection.execute(f"select * from {table}")
            ]
            found[table] = sorted(
                tuple({**row, "run_uuid": ids[row["run_uuid"]]}.items())
                for row in rows
                if row["run_uuid"] in ids
            )
    found["runs"].sort()
    return found


def test_the_bulk_way_writes_the_rows_that_the_client_writes(plan: Plan) -> None:
    plant_all(plan)
    entries = [entry_of(folder, key, text, why) for key, text, folder, why in folders(plan.folder)]
    by_client, in_bulk = open_store(plan.results, "client"), open_store(plan.results, "bulk")
    assert isinstance(in_bulk, DatabaseStore)
    ServerStore(by_client.client, str(by_client.experiment)).add(entries)
    in_bulk.add(entries)
    database = plan.results / "mlflow.db"
    expected = content(database, "client")
    assert len(expected["runs"]) == 10
    assert all(len(expected[table]) > 20 for table in ("tags", "params", "metrics", "latest_metrics"))
    assert content(database, "bulk") == expected
    files = {
        name: sorted(p.name for p in (plan.results / "mlflow-artifacts" / name).rglob("*") if p.is_file())
        for name in ("client", "bulk")
    }
    assert files["client"] == files["bulk"] and files["bulk"].count("result.json") == 9


def test_both_ways_read_the_same(plan: Plan) -> None:
    plant_all(plan)
    mirrored(plan)
    bulk = open_store(plan.results, "toy")
    client = ServerStore(bulk.client, str(bulk.experiment))
    assert sorted(bulk.runs(), key=lambda r: r.id) == sorted(client.runs(), key=lambda r: r.id)
    assert bulk.curves({"selection.accuracy"}) == client.curves({"selection.accuracy"}) != {}


def test_sync_rebuilds_a_lost_store_from_the_folders(plan: Plan, fresh_database: Path) -> None:
    plant_all(plan)
    mirrored(plan)
    frame = build_frame(plan)
    open_store(plan.results, "toy").client._tracking_client.store.engine.dispose()
    shutil.copy(fresh_database, plan.results / "mlflow.db")
    assert main(["sync", "--out", str(plan.results)]) == 0
    pd.testing.assert_frame_equal(build_frame(plan), frame)


def test_artifacts_that_lie_elsewhere_are_a_plain_error(plan: Plan) -> None:
    plant_all(plan)
    open_store(plan.results, "other").client.create_experiment("toy", "mlflow-artifacts:/1")
    with pytest.raises(HarnessError, match="name the MLflow server in place of its database"):
        mirrored(plan)


def track(plan: Plan, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "track", str(plan.file), "--out", str(plan.results)]
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
    runs = open_store(plan.results, "toy").runs()
    assert len(runs) == len({run.tags["run_key"] for run in runs}) == 6


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
    """Return the address of a PostgreSQL server of our own; skipped where there is none."""
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
    assert mirrored(plan) == {"added": 10, "kept": 0, "superseded": 0}
    pd.testing.assert_frame_equal(build_frame(plan), frame_from_folders(plan))
    plant(plan, plan.runs[0], 0.75)
    shutil.rmtree(plan.run_folder(plan.runs[1]))
    assert mirrored(plan) == {"added": 1, "kept": 8, "superseded": 1}
    started = [track(plan, MLFLOW_TRACKING_URI=server) for _ in range(4)]
    assert [process.communicate()[0] and process.returncode for process in started] == [0] * 4
    store = open_store(plan.results, "toy")
    runs = store.runs()
    assert len(runs) == len({run.tags["run_key"] for run in runs}) == 10
    (run,) = [run for run in runs if run.tags["run_key"] == plan.runs[0].key]
    names = {file.path for file in store.client.list_artifacts(run.id)}
    assert names == {"result.json", "config.yaml", "provenance.json"}


def test_postgresql_itself_can_be_the_store(
    plan: Plan, postgres_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres_uri)
    plant_all(plan)
    assert mirrored(plan)["added"] == 10
    assert mirrored(plan)["kept"] == 10
    pd.testing.assert_frame_equal(build_frame(plan), frame_from_folders(plan))


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


def test_the_digest_groups_failures_by_cause(plan: Plan) -> None:
    plant(plan, plan.runs[0], 0.5).next_attempt().write_text("fine\n")
    for run in plan.runs[1:6]:
        fail(plan, run, f"{digest.FAILED}RuntimeError: {run.name}: no memory for {run.seed * 1000} bytes")
    fail(plan, plan.runs[6], "INFO still going")
    text = digest.write_digest(plan)
    assert text is not None
    assert text.startswith("# toy: 6 failed, 1 of 12 runs done")
    assert f"## 5 x RuntimeError: {plan.runs[1].name}: no memory for" in text
    assert "- and 2 more" in text
    assert f"## 1 x {digest.SILENT}" in text
    assert digest.retry_command(plan) in text
    listed = (plan.folder / "failed.txt").read_text().splitlines()
    assert sorted(listed) == sorted(str(RunFolder(plan.run_folder(r)).result_path) for r in plan.runs[1:7])
    for run in plan.runs[1:7]:
        plant(plan, run, 0.5)
    assert digest.write_digest(plan) is None
    assert not (plan.folder / "failed.txt").exists()
