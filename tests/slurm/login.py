"""A clone on a login node: the shipped profile with its two edits, and shorter intervals."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from support.clones import Clone

from harness.plan.plan import Plan, make_plan
from harness.runs.folder import RunFolder

EDITS = {
    r"# slurm_account: .*": "slurm_account: \"'bench'\"",
    r"# slurm_partition: .*": "slurm_partition: \"'gpu'\"",
    r"status-checks: 20 .*": "status-checks: 2",
    r"latency-wait: 60 .*": "latency-wait: 10",
    r"USR1@180": "USR1@35",
    r"retries: 2 .*": "retries: 1",
}


class Login(Clone):
    """A clone from which jobs are submitted."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder)
        self.environment = environment
        self.started: list[subprocess.Popen[str]] = []
        self.profile = folder / "profiles" / "slurm" / "config.yaml"
        for shipped, edited in EDITS.items():
            self.edit(shipped, edited)

    def edit(self, shipped: str, edited: str) -> None:
        text, count = re.subn(shipped, edited, self.profile.read_text())
        assert count, shipped
        self.profile.write_text(text)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start snakemake on the cluster; its output goes to ``snakemake.log``."""
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--profile",
            "slurm",
            "--configfile",
            "toy.yaml",
            *arguments,
        ]
        with (self.folder / "snakemake.log").open("a") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                text=True,
                preexec_fn=_heed_interrupts,
            )
        self.started.append(process)
        return process

    def output(self) -> str:
        return (self.folder / "snakemake.log").read_text()

    def plan(self) -> Plan:
        return make_plan(self.folder / "toy.yaml", self.folder / "results")

    def run_folder(self, variant: str, seed: int = 1) -> RunFolder:
        plan = self.plan()
        return next(
            RunFolder(plan.run_folder(run))
            for run in plan.runs
            if (run.cell.variant, run.seed) == (variant, seed)
        )

    def weights(self, variant: str, seed: int = 1) -> str:
        result = self.run_folder(variant, seed).result()
        assert result is not None, f"{variant}, seed {seed} has no result"
        return result.hashes["weights"]

    def trains(self, variant: str, seed: int = 1) -> bool:
        """Return whether a run is training its batches."""
        folder = self.run_folder(variant, seed)
        begun = folder.metrics_path.is_file() and folder.metrics_path.stat().st_size > 0
        return begun and (folder.path / "lock").exists()


def _heed_interrupts() -> None:
    """Undo that a shell's background job, as which the tests may run, ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
