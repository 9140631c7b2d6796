"""What the program asks of SLURM: whether a job works, which jobs wait, and to run this one again."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20.0
"""Longest wait for an answer; a controller under load is slow, one that is gone never answers."""
WORKING = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT")
"""States of a job that may have processes."""


@dataclass(frozen=True)
class Job:
    """One job of this user."""

    number: str
    state: str
    folder: Path
    """Where it was submitted."""
    comment: str
    """What Snakemake's executor says the job is: rule and wildcards."""


def ask(*command: str) -> str | None:
    """Return what a SLURM client prints; None where there is no such client, or no answer."""
    if shutil.which(command[0]) is None:
        return None
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return answer.stdout if answer.returncode == 0 else None


def works(job: str, node: str | None) -> bool | None:
    """Tell whether ``job`` has processes (on ``node``, where that is known), None if nobody can say.

    A job that was requeued after its node failed keeps its number, but not its node.
    """
    answer = ask("squeue", "--noheader", "--format=%T|%N", f"--jobs={job}")
    if answer is None:
        return None
    for line in answer.splitlines():
        state, _, nodes = line.partition("|")
        several = "[" in nodes or "," in nodes
        if state in WORKING and (node is None or several or nodes == node):
            return True
    return False


def my_jobs() -> list[Job]:
    """Return this user's jobs that wait or work; none where SLURM does not answer."""
    answer = ask("squeue", "--me", "--noheader", "--format=%A|%T|%Z|%k")
    fields = [line.split("|", 3) for line in (answer or "").splitlines()]
    return [Job(number, state, Path(folder), comment) for number, state, folder, comment in fields]


def requeue() -> bool:
    """Put the job that this process runs in back into the queue, and tell whether that was done."""
    job = os.environ.get("SLURM_JOB_ID")
    return job is not None and ask("scontrol", "requeue", job) is not None


def refusal(*command: str) -> str | None:
    """Return why a SLURM client refuses, None if it does not."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer in {SECONDS:.0f} seconds"
    return None if answer.returncode == 0 else answer.stderr.strip().removeprefix(f"{command[0]}: error: ")
