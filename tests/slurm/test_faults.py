"""What clusters do to jobs, on a real SLURM: nothing is lost, nothing is trained twice, all is reported."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cluster
from login import Login

from harness.snakemake.job_packs import job_packs, write_packs

pytestmark = pytest.mark.slurm
LONG = {
    "pgd": {"settings": {"epochs": 1}},
    "r3f": {"settings": {"epochs": 250}},
    "freelb": {"arguments": {"steps": 2}, "settings": {"epochs": 250}},
    "vanilla": {"settings": {"epochs": 1200}},
}
"""Variants that fail, are cancelled, are requeued, and run out of time; two batches an epoch."""


class Fault:
    """Something done once to the job of a run while it trains."""

    def __init__(self, variant: str, *command: str) -> None:
        self.variant, self.command, self.job = variant, command, ""

    def strike(self, cluster: Cluster, login: Login) -> None:
        job = cluster.job_of(login.folder, f"_{self.variant}_seed1")
        if not self.job and job and job[1] == "RUNNING" and login.trains(self.variant):
            if not self.is_time(cluster, job[0]):
                return
            self.job = job[0]
            cluster.ask(*(part.replace("JOB", self.job) for part in self.command))

    def is_time(self, cluster: Cluster, job: str) -> bool:
        return True


class OutOfTime(Fault):
    """A time limit at the end of the job's present minute, set while there is time for a warning."""

    def is_time(self, cluster: Cluster, job: str) -> bool:
        *hours, minutes, seconds = map(
            int, cluster.ask("squeue", "-h", "-j", job, "-o", "%M").strip().split(":")
        )
        self.command = ("scontrol", "update", "JobId=JOB", f"TimeLimit={minutes + 1}")
        return not hours and seconds < 20


def hurry(cluster: Cluster, folder: Path) -> None:
    """Let requeued jobs start now, not after SLURM's two minutes, and with time enough."""
    for number, (state, _) in cluster.jobs(folder).items():
        if state == "PENDING":  # or has been until now
            cluster.tell("scontrol", "update", f"JobId={number}", "StartTime=now", "TimeLimit=20")


def undisturbed(login: Login) -> "subprocess.Popen[str]":
    """Start the runs of an experiment, together, without a cluster."""
    login.configure(variants=LONG, seeds=[1], runs_per_job=4)
    pack = job_packs(login.plan(), [run for run in login.plan().runs if run.cell.variant != "pgd"])[0]
    write_packs([pack])
    command = [sys.executable, "-m", "harness", "step", "pack", "toy.yaml", "--runs", str(pack.file)]
    return subprocess.Popen(command, cwd=login.folder, text=True, stderr=subprocess.DEVNULL)


def test_jobs_that_fail_are_cancelled_are_requeued_and_run_out_of_time(
    cluster: Cluster, make_login: Callable[[], Login]
) -> None:
    calm, login = make_login(), make_login()
    login.configure(variants=LONG, seeds=[1])
    login.run_folder("pgd").metrics_path.mkdir(parents=True)  # in the way of a file
    faults = {
        "r3f": Fault("r3f", "scancel", "JOB"),
        "freelb": Fault("freelb", "scontrol", "requeue", "JOB"),
        "vanilla": OutOfTime("vanilla"),
    }
    snakemake, reference = login.start(), undisturbed(calm)
    while snakemake.poll() is None:
        for fault in faults.values():
            fault.strike(cluster, login)
        hurry(cluster, login.folder)
        time.sleep(0.3)
    assert reference.wait() == 0

    history = cluster.history(login.folder)
    expected = {variant: calm.weights(variant) for variant in faults}
    found = {variant: login.weights(variant) for variant in faults}
    for variant, fault in faults.items():
        print(f"weights of {variant}, job {fault.job}: {expected[variant]} undisturbed, {found[variant]}")
    assert snakemake.returncode == 1, login.output()
    assert found == expected
    assert {v: [state for job, state, _ in history if job == fault.job] for v, fault in faults.items()} == {
        "r3f": ["CANCELLED"],  # tried again in a job of its own
        "freelb": ["REQUEUED", "COMPLETED"],
        "vanilla": ["REQUEUED", "COMPLETED"],
    }
    for variant in faults:
        again = json.loads(login.run_folder(variant).provenance_path.read_text())["attempts"]
        assert len(again) == 2 and again[1]["after_batch"] > 0, variant
    digest = (login.folder / "results/toy/failures.md").read_text()
    assert "1 failed, 3 of 4 runs done" in digest and "Is a directory" in digest
    assert len(login.run_folder("pgd").attempt_logs()) == 2  # tried once more
    assert "(1/1)" in login.table() and "failed" in login.table()
