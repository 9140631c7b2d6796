"""Snakemake stopped in every way, on a real SLURM, and started again."""

import json
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import Cluster, until
from login import Login

from harness.util.holder import Holder

pytestmark = pytest.mark.slurm
SEEDS = [1, 2, 3]
"""One more than there are GPUs: one job waits."""


def configure(login: Login, epochs: int) -> None:
    login.configure(variants={"vanilla": {"settings": {"epochs": epochs}}}, seeds=SEEDS)


def both_gpus_train(login: Login) -> bool:
    return sum(login.trains("vanilla", seed) for seed in SEEDS) == 2


def attempts(login: Login) -> list[int]:
    return [len(login.run_folder("vanilla", seed).attempt_logs()) for seed in SEEDS]


def test_after_a_kill_jobs_are_recognised_and_nothing_is_trained_twice(
    cluster: Cluster, make_login: Callable[[], Login], monkeypatch: pytest.MonkeyPatch
) -> None:
    login = make_login()
    configure(login, 700)
    first = login.start()
    until("two runs train", lambda: both_gpus_train(login))
    first.kill()
    first.wait()
    left = cluster.jobs(login.folder)
    assert sorted(state for state, _ in left.values()) == ["PENDING", "RUNNING", "RUNNING"]
    _seen_from_another_host(cluster, login, monkeypatch)

    login.snakemake("--unlock")
    assert login.start().wait() == 0, login.output()
    found = re.search(r"left by an earlier snakemake in SLURM jobs ([\d, ]+); waiting", login.output())
    assert found and set(found[1].split(", ")) <= set(left), login.output()
    history = cluster.history(login.folder)
    assert {state for job, state, _ in history if job in left} == {"COMPLETED"}
    assert attempts(login) == [1, 1, 1]  # who found a record tried nothing
    assert "is in use by" not in login.output()
    assert "(3/3)" in login.table()
    assert json.loads(login.run_folder("vanilla").provenance_path.read_text())["machine"]["slurm_job"] in left


def _seen_from_another_host(cluster: Cluster, login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """There no process can be queried: SLURM reports who is alive; a job that waits trains nothing."""
    monkeypatch.setenv("PATH", cluster.environment["PATH"])
    path = next(
        login.run_folder("vanilla", seed).path / "lock" for seed in SEEDS if login.trains("vanilla", seed)
    )
    holder = replace(Holder(**json.loads(path.read_text())), host="elsewhere", machine="another")
    waiting = next(job for job, (state, _) in cluster.jobs(login.folder).items() if state == "PENDING")
    assert holder.is_running()
    assert not replace(holder, slurm_node="another").is_running()  # requeued since, to other nodes
    assert not replace(holder, slurm_job=waiting).is_running()


def test_interrupted_and_terminated_snakemakes_lose_nothing(
    cluster: Cluster, make_login: Callable[[], Login]
) -> None:
    login = make_login()
    configure(login, 300)
    first = login.start()
    until("two runs train", lambda: both_gpus_train(login))
    first.send_signal(signal.SIGINT)
    assert first.wait() == 1
    until("no job is left", lambda: not cluster.jobs(login.folder))
    kept = {s for s in SEEDS if list(login.run_folder("vanilla", s).checkpoints.glob("*/state.json"))}
    done = {s for s in SEEDS if login.run_folder("vanilla", s).result() is not None}
    assert len(kept) == 2 and not done
    second = login.start()
    until("two runs train again", lambda: both_gpus_train(login))
    time.sleep(1)
    second.send_signal(signal.SIGTERM)  # no more jobs; those that were sent may finish
    assert second.wait() == 1
    cluster.history(login.folder)
    finished = [s for s in SEEDS if login.run_folder("vanilla", s).result() is not None]
    assert set(finished) >= kept
    assert login.start().wait() == 0, login.output()
    assert "(3/3)" in login.table()
    for seed in kept:
        tries = json.loads(login.run_folder("vanilla", seed).provenance_path.read_text())["attempts"]
        assert len(tries) == 2 and tries[1]["after_batch"] > 0
