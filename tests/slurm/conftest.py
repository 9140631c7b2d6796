"""A real SLURM of one node, started for these tests; whatever keeps them from running is a failure."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from login import Login

from harness.util.paths import ROOT

SCRIPT = Path(os.environ.get("LOCAL_SLURM", ROOT.parent / "shared" / "slurm" / "local-slurm"))
NO_SLURM = f"""no SLURM for tests: there is no {SCRIPT}.
LOCAL_SLURM=PATH names a script that starts a one-node SLURM (local-slurm start | stop | env); by hand:
apt-get install munge slurm-client slurmctld slurmd slurmdbd mariadb-server"""


class Cluster:
    """The clients of a SLURM, and what they say."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def tell(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def ask(self, *command: str) -> str:
        done = self.tell(*command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def jobs(self, folder: Path) -> dict[str, tuple[str, str]]:
        """Return the jobs submitted in ``folder`` that wait or work: number to state and comment."""
        lines = [
            line.split("|") for line in self.ask("squeue", "-h", "--format=%A|%T|%Z|%k").splitlines() if line
        ]
        return {
            number: (state, comment.strip())
            for number, state, where, comment in lines
            if where == str(folder)
        }

    def job_of(self, folder: Path, part: str) -> tuple[str, str] | None:
        """Return number and state of the job whose comment has ``part``, None if there is none."""
        for number, (state, comment) in self.jobs(folder).items():
            if part in comment:
                return number, state
        return None

    def history(self, folder: Path) -> list[tuple[str, str, str]]:
        """Return number, state and comment of all jobs of ``folder``, requeued tries too, from accounting."""
        fields = "JobID,State,ExitCode,Elapsed,Comment,WorkDir"
        text = self.ask("sacct", "-X", "-D", "-n", "-P", "-S", "now-1hour", "-o", fields)
        rows = [line.split("|") for line in text.splitlines()]
        ours = [row for row in rows if row[5] == str(folder)]
        for row in ours:
            print("sacct:", *row[:5])
        return [(row[0], row[1].split(" ")[0], row[4]) for row in ours]


def until(what: str, happened: Callable[[], Any], seconds: float = 300) -> Any:
    """Return what ``happened`` returns once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := happened():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A SLURM with two fake GPUs and empty queues."""
    if not SCRIPT.is_file():
        pytest.fail(NO_SLURM, pytrace=False)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # socket paths are short
    settings = {
        **os.environ,
        "LOCAL_SLURM_DIR": str(folder / "s"),
        "LOCAL_SLURM_CPUS": str(max(2, os.cpu_count() or 2)),  # nproc would count OMP_NUM_THREADS
        "OMP_NUM_THREADS": "1",
    }
    started = subprocess.run([SCRIPT, "start"], env=settings, capture_output=True, text=True, check=False)
    if started.returncode:
        pytest.fail(f"{SCRIPT} start:\n{started.stdout}{started.stderr}", pytrace=False)
    try:
        reported = subprocess.run([SCRIPT, "env"], env=settings, capture_output=True, text=True, check=True)
        script = f"{reported.stdout}\nenv -0"
        exported = subprocess.run(
            ["bash", "-c", script], env=settings, capture_output=True, check=True
        ).stdout
        pairs = [item.partition("=") for item in exported.decode().split("\0") if item]
        yield Cluster({name: value for name, _, value in pairs})
    finally:
        subprocess.run([SCRIPT, "stop"], env=settings, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_login(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Login]]:
    """Make clones whose snakemakes do not outlive the test."""
    made: list[Login] = []

    def make() -> Login:
        made.append(Login(tmp_path_factory.mktemp("login"), cluster.environment))
        return made[-1]

    yield make
    for process in (process for login in made for process in login.started):
        process.kill()
        process.wait()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Count a skipped test as a failed one."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped:
        report.outcome, report.longrepr = "failed", f"skipped, which is a failure here: {report.longrepr}"
