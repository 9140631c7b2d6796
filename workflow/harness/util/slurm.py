"""Queries to SLURM: whether a job is running and which jobs are queued; requeueing of this job."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20.0
"""Timeout of a SLURM client: a busy controller is slow, and one that is down does not respond."""
WORKING = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT")
"""States of jobs that may have processes."""


@dataclass(frozen=True)
class Job:
    """One job of this user."""

    number: str
    state: str
    folder: Path
    """Folder in which the job was submitted."""
    comment: str
    """Rule and wildcards, as Snakemake's executor writes them."""


def ask(*command: str) -> str | None:
    """Return the output of a SLURM client, or None if it is missing, fails or does not respond."""
    if shutil.which(command[0]) is None:
        return None
    try:
        process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return process.stdout if process.returncode == 0 else None


def works(job: str, node: str | None) -> bool | None:
    """Return whether ``job`` has processes (on ``node``, if given), or None if SLURM does not respond.

    A job that is requeued after a node failure keeps its number, but not its node.
    """
    output = ask("squeue", "--noheader", "--format=%T|%N", f"--jobs={job}")
    if output is None:
        return None
    for line in output.splitlines():
        state, _, nodes = line.partition("|")
        several = "[" in nodes or "," in nodes
        if state in WORKING and (node is None or several or nodes == node):
            return True
    return False


def my_jobs() -> list[Job]:
    """Return this user's queued and running jobs; an empty list if SLURM does not respond."""
    output = ask("squeue", "--me", "--noheader", "--format=%A|%T|%Z|%k")
    fields = [line.split("|", 3) for line in (output or "").splitlines()]
    return [Job(number, state, Path(folder), comment) for number, state, folder, comment in fields]


def requeue() -> bool:
    """Requeue the SLURM job of this process; return whether SLURM accepted it."""
    job = os.environ.get("SLURM_JOB_ID")
    return job is not None and ask("scontrol", "requeue", job) is not None


def refusal(*command: str) -> str | None:
    """Return the error message of a SLURM client, or None if the command succeeds."""
    try:
        process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS:.0f} seconds"
    return None if process.returncode == 0 else process.stderr.strip().removeprefix(f"{command[0]}: error: ")
