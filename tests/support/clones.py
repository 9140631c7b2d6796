"""Copies of the repository, to change and to run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from harness.util.paths import ROOT

EXPERIMENT = {
    "name": "toy",
    "title": "A toy experiment",
    "banner": "toy: not results",
    "settings": {"epochs": 1, "batch_size": 8, "train_rows": 16, "selection_rows": 16, "max_length": 16},
    "tasks": ["rotten_tomatoes"],
    "models": ["tiny"],
    "variants": ["vanilla"],
    "seeds": [1, 2, 3],
}


class Clone:
    """A copy of the workflow's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Snakefile", "workflow/rules", "profiles", "config"):
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        (folder / "slurm").symlink_to("profiles/slurm")
        self.configure()

    def configure(self, **changes: object) -> None:
        (self.folder / "toy.yaml").write_text(yaml.safe_dump({**EXPERIMENT, **changes}))

    def snakemake(self, *arguments: str, toy: bool = True, check: int | None = 0) -> str:
        command = [
            sys.executable,
            "-m",
            "snakemake",
            *arguments,
            *(["--configfile", "toy.yaml"] if toy else []),
        ]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, env=os.environ
        )
        text = done.stdout + done.stderr
        assert check is None or done.returncode == check, text
        return text

    def planned(self) -> list[str]:
        """Return the run folders that a dry run would train."""
        text = self.snakemake("-n")
        return sorted(
            set(re.findall(r"rotten_tomatoes/tiny/vanilla/(seed\d+-[0-9a-f]{8})$", text, re.MULTILINE))
        )

    def runs(self) -> list[Path]:
        return sorted(self.folder.glob("results/toy/runs/*/*/*/seed*"))

    def results(self) -> dict[str, int]:
        """Return the time of change of every result."""
        return {
            str(p): p.stat().st_mtime_ns for p in self.folder.glob("results/toy/runs/*/*/*/*/result.json")
        }

    def table(self) -> str:
        return (self.folder / "results/toy/tables/main.md").read_text()


def copy_of_the_repository(folder: Path) -> Path:
    """Copy what git tracks, and new files that it does not ignore, as they stand; return ``folder``."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_symlink() or source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target, follow_symlinks=False)
    return folder
