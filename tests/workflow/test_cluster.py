"""What needs no cluster to be tested: requests, packs, left-over jobs, and the checks before submission."""

import getpass
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support import chaos
from support.clones import Clone
from support.experiments import toy_plan
from support.fake_runs import plant

from harness.engine import metrics
from harness.runs.folder import RunFolder
from harness.runs.run_many import run_many
from harness.runs.stop import InterruptedRunError, StopRequest, stoppable
from harness.snakemake import partitions as partitions_module
from harness.snakemake.job_packs import job_packs, read_pack, write_packs
from harness.snakemake.orphans import find_orphans
from harness.snakemake.partitions import minutes, partitions
from harness.snakemake.preflight import JobRequest, check
from harness.snakemake.resources import Resources
from harness.util import lock, slurm
from harness.util.errors import ConfigErrors, HarnessError
from harness.util.holder import Holder, live

THREE = {"variants": ["vanilla", "freelb", "mat"], "runs_per_job": 3}
GOOD = {
    "slurm_partition": "gpu",
    "slurm_account": "bench",
    "gres": "gpu:1",
    "runtime": 60,
    "mem_mb": 8000,
    "cpus": 1,
}


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Fake SLURM clients alone on PATH: name to what they print; changed ones are written by ``answer``."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    partitions.cache_clear()
    answers = {
        "sinfo": "cpu*|2:00:00\ngpu|1-00:00:00\nlong|infinite",
        "sacctmgr": "bench\nother",
        "squeue": "",
        "scancel": "",
        "sbatch": "",
    }
    for name, text in answers.items():
        answer(tmp_path, name, text)
    yield answers
    partitions.cache_clear()


def answer(folder: Path, name: str, text: str, status: int = 0) -> None:
    """Let a fake client say something."""
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}'; printf '%s\\n' '{text}' >&2; exit {status}\n")
    path.chmod(0o755)


def preflight_errors(tmp_path: Path, device: str = "auto", **changes: Any) -> list[str]:
    partitions.cache_clear()
    values = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    try:
        check([JobRequest(**values)], device, tmp_path / "logs")
    except ConfigErrors as error:
        return error.errors
    return []


def test_what_slurm_can_give_is_not_refused(clients: dict[str, str], tmp_path: Path) -> None:
    assert preflight_errors(tmp_path) == []
    assert preflight_errors(tmp_path, gres=None, gpu=1) == []
    assert preflight_errors(tmp_path, "cpu", gres=None) == []
    assert preflight_errors(tmp_path, slurm_account=None, slurm_partition=None) == []


def test_every_mistake_is_reported_with_what_to_type(clients: dict[str, str], tmp_path: Path) -> None:
    assert (
        "unknown partition 'gpus'; did you mean 'gpu'?"
        in preflight_errors(tmp_path, slurm_partition="gpus")[0]
    )
    both = preflight_errors(tmp_path, slurm_partition="gpus", slurm_account="branch")
    assert "did you mean 'bench'?" in both[1]
    assert "set-resources" in preflight_errors(tmp_path, gres=None)[0]
    assert "device: cuda" in preflight_errors(tmp_path, "cuda", gres=None)[0]
    answer(tmp_path, "sbatch", "sbatch: error: Batch job submission failed: Invalid qos", status=1)
    (message,) = preflight_errors(tmp_path)
    assert "--partition=gpu" in message and message.endswith("Batch job submission failed: Invalid qos")


def test_a_log_folder_that_cannot_be_written_is_reported(clients: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    assert "logs cannot be written" in preflight_errors(tmp_path)[0]


def test_without_clients_or_an_answer_nothing_is_sent(clients: dict[str, str], tmp_path: Path) -> None:
    answer(tmp_path, "sinfo", "no controller", status=1)
    assert "does not respond" in preflight_errors(tmp_path)[0]
    (tmp_path / "bin" / "sbatch").unlink()
    assert "no sbatch on PATH" in preflight_errors(tmp_path)[0]


def test_without_accounting_accounts_are_slurms_matter(clients: dict[str, str], tmp_path: Path) -> None:
    answer(tmp_path, "sacctmgr", "accounting is disabled", status=1)
    assert preflight_errors(tmp_path, slurm_account="anything") == []


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("2:00:00", 120), ("1-00:00:00", 1440), ("30:00", 30), ("2-12:30:00", 3630), ("infinite", None)],
)
def test_limits_of_partitions_are_read(limit: str, expected: int | None) -> None:
    assert minutes(limit) == expected


def test_time_is_asked_for_by_past_runs_else_by_the_plan_and_grows(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, models=["minilm"], variants=["vanilla", "mat"], tasks=["stsb", "rte"])
    cells = {cell.name: cell for cell in plan.cells}
    vanilla, mat = cells["stsb/minilm/vanilla"], cells["stsb/minilm/mat"]
    new = Resources(plan)
    assert new.hours(mat) > new.hours(vanilla) > 0  # the plan's cost
    assert Resources(plan, lambda: 15).minutes([mat] * 100_000) == 15  # no more than the partition gives
    done = next(run for run in plan.runs if run.cell is vanilla)
    plant(plan, done, 0.7, seconds=7199.0)  # and one second of evaluation
    known = Resources(plan)
    assert known.hours(vanilla) != new.hours(vanilla) and known.hours(mat) > known.hours(vanilla)
    assert known.hours(cells["rte/minilm/mat"]) == new.hours(cells["rte/minilm/mat"])
    first, second, third = (known.minutes([vanilla], attempt) for attempt in (1, 2, 3))
    assert first < second < third and known.minutes([vanilla] * 2) > first
    assert [known.memory_mb([vanilla], attempt) for attempt in (1, 2)] == [5000, 10000]


def test_memory_grows_with_the_model(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, models=["minilm", "roberta-large"])
    small, large = (Resources(plan).memory_mb([cell]) for cell in plan.cells)
    assert 4000 < small < large < 20000


def test_runs_in_one_process_give_the_bits_of_processes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "RESAMPLES", 9)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    alone, packed = toy_plan(tmp_path / "a", **THREE), toy_plan(tmp_path / "b", **THREE)
    for run in alone.runs:
        chaos.whole(alone, run)  # a process each
    (pack,) = job_packs(packed, packed.runs)
    found = [run.key for run, _ in run_many(packed, pack.runs, 1, StopRequest())]
    assert found == [run.key for run in alone.runs]
    for run in alone.runs:
        own, shared = RunFolder(alone.run_folder(run)), RunFolder(packed.run_folder(run))
        for folder in (own, shared):
            shutil.rmtree(folder.attempts)  # attempt logs have times
        assert chaos.comparable(own) == chaos.comparable(shared), run.name


def test_a_failing_run_stops_no_other_and_comes_last_the_next_time(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, seeds=[1, 2, 3], runs_per_job=3)
    bad = RunFolder(plan.run_folder(plan.runs[0]))
    bad.metrics_path.mkdir(parents=True)
    bad.next_attempt().touch()  # it was tried, and took the process down
    found = list(run_many(plan, plan.runs, 1, StopRequest()))
    assert [isinstance(result, Exception) for _, result in found] == [False, False, True]
    assert found[-1][0] == plan.runs[0]
    bad.metrics_path.rmdir()
    again = list(run_many(plan, plan.runs, 1, StopRequest()))
    assert not any(isinstance(result, Exception) for _, result in again)
    assert (
        len(RunFolder(plan.run_folder(plan.runs[1])).attempt_logs()) == 1
    )  # what is there is not made again


def test_a_pack_that_is_stopped_says_that_it_advanced_if_a_run_did(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, seeds=[1, 2], runs_per_job=2)
    stop = StopRequest()
    runs = run_many(plan, plan.runs, 1, stop)
    next(runs)
    stop._since, stop.out_of_time = 0.0, True
    with pytest.raises(InterruptedRunError) as caught:
        next(runs)
    assert caught.value.advanced and not (plan.run_folder(plan.runs[1]) / "result.json").exists()


@pytest.mark.parametrize(
    ("out_of_time", "advanced", "requeued"), [(True, True, 1), (False, True, 0), (True, False, 0)]
)
def test_a_job_is_requeued_for_want_of_time_alone_and_only_if_it_advances(
    clients: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    out_of_time: bool, advanced: bool, requeued: int,
) -> None:  # fmt: skip
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    path = tmp_path / "bin" / "scontrol"
    path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    path.chmod(0o755)
    with pytest.raises(InterruptedRunError) as caught, stoppable() as stop:
        stop.out_of_time = out_of_time
        raise InterruptedRunError("stopped", advanced)
    calls = (tmp_path / "calls").read_text().split() if (tmp_path / "calls").exists() else []
    assert calls == ["requeue", "17"] * requeued
    assert ("SLURM job 17 was requeued" in str(caught.value)) == bool(requeued)


def test_packs_hold_runs_of_one_task_and_model(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, tasks=["rotten_tomatoes", "stsb"], seeds=[1, 2, 3], runs_per_job=2)
    packs = job_packs(plan, plan.runs)
    assert [len(pack.runs) for pack in packs] == [2, 1, 2, 1]
    assert all(len({run.cell.task_name for run in pack.runs}) == 1 for pack in packs)
    write_packs(packs)
    assert read_pack(plan, packs[0].file) == packs[0].runs
    changed = toy_plan(tmp_path, tasks=["rotten_tomatoes", "stsb"], seeds=[3], runs_per_job=2)
    with pytest.raises(HarnessError, match="start snakemake again"):
        read_pack(changed, packs[0].file)


def test_the_workflow_packs_runs_and_keeps_the_good_ones_of_a_pack_that_fails(tmp_path: Path) -> None:
    clone = Clone(tmp_path)
    clone.configure(runs_per_job=3)
    plan = clone_plan(clone)
    bad = RunFolder(plan.run_folder(plan.runs[0]))
    bad.metrics_path.mkdir(parents=True)
    text = clone.snakemake(check=1)
    assert "1 of 3 runs failed" in text and "1 failed, 2 of 3 runs done" in text
    assert len(clone.results()) == 2 and "(2/3)" in clone.table()
    bad.metrics_path.rmdir()
    before = clone.results()
    clone.snakemake()
    assert before.items() <= clone.results().items() and "(3/3)" in clone.table()
    assert "Nothing to be done" in clone.snakemake()
    shutil.rmtree(clone.runs()[2])
    clone.snakemake()
    assert len(clone.results()) == 3


def clone_plan(clone: Clone) -> Any:
    from harness.plan.plan import make_plan

    return make_plan(clone.folder / "toy.yaml", clone.folder / "results")


def test_jobs_that_an_earlier_snakemake_left_are_found_by_lock_and_queue(
    clients: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = toy_plan(tmp_path, seeds=[1, 2, 3, 4, 5])
    locked, queued, packed, elsewhere, free = plan.runs
    (pack,) = job_packs(toy_plan(tmp_path, seeds=[1, 2, 3, 4, 5], runs_per_job=1), [packed])
    write_packs([pack])
    comment = {run.key: "rule_train_wildcards_" + str(run.folder).replace("/", "_") for run in plan.runs}
    monkeypatch.chdir(tmp_path)
    jobs = [
        slurm.Job("2", "PENDING", tmp_path, comment[queued.key]),
        slurm.Job("3", "RUNNING", tmp_path, f"rule_train_pack_wildcards_rotten_tomatoes_tiny_{pack.name}"),
        slurm.Job("4", "RUNNING", Path("/elsewhere"), comment[elsewhere.key]),
    ]
    monkeypatch.setattr(slurm, "my_jobs", lambda: jobs)
    with lock.hold_lock(plan.run_folder(locked)):
        found = find_orphans(plan, plan.runs)
    assert found.runs == {str(plan.run_folder(run)) for run in (locked, queued, packed)}
    assert found.jobs == {"2", "3"}
    assert find_orphans(plan, [free]).runs == frozenset()


@pytest.mark.parametrize(
    ("message", "alive"),
    [("RUNNING|node1", True), ("COMPLETING|node1", True), ("PENDING|", False), ("RUNNING|node2", False),
     ("RUNNING|node[1-3]", True), ("", False)],
)  # fmt: skip
def test_a_holder_on_another_node_lives_as_long_as_its_job_works_there(
    clients: dict[str, str], tmp_path: Path, message: str, alive: bool
) -> None:
    answer(tmp_path, "squeue", message)
    holder = Holder(host="elsewhere", pid=1, born="1", slurm_job="17", slurm_node="node1")
    (tmp_path / "lock").write_text(json.dumps(asdict(holder)))
    assert bool(live([tmp_path / "lock"])) == alive
    answer(tmp_path, "squeue", "slurm_load_jobs error: Invalid job id specified", status=1)
    assert live([tmp_path / "lock"])  # nobody can say: the heartbeat is fresh


def test_the_account_is_asked_for_by_name(clients: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "bin" / "sacctmgr"
    path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls; echo bench\n')
    path.chmod(0o755)
    assert preflight_errors(tmp_path) == []
    assert f"user={getpass.getuser()}" in (tmp_path / "calls").read_text()
    assert partitions_module.partitions() is not None
