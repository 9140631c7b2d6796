"""Where a number comes from: commit, versions of packages, machine."""

import hashlib
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata

from harness.util.paths import ROOT

PACKAGES = (
    "torch", "transformers", "tokenizers", "datasets", "numpy", "scipy", "scikit-learn", "pandas",
    "mlflow", "optuna", "snakemake",
)  # fmt: skip


@dataclass(frozen=True)
class Commit:
    """The commit of the code, and its uncommitted changes; all None outside git."""

    commit: str | None
    dirty: bool | None
    """Whether the working tree differs from the commit."""
    diff_sha256: str | None
    """Hash of the difference, None without one."""


@dataclass(frozen=True)
class Machine:
    """The machine that a run was trained on."""

    device: str
    threads: int
    host: str
    platform: str
    cpu_count: int | None
    slurm_job: str | None
    gpu: str | None = None
    """Name of the GPU, if one was used."""


def current_commit() -> Commit:
    """Return the commit of the code that is running."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return Commit(None, None, None)
    diff = _git("diff", "HEAD") or ""
    untracked = _git("ls-files", "--others", "--exclude-standard") or ""
    dirty = bool(diff or untracked)
    content = hashlib.sha256((diff + untracked).encode()).hexdigest()
    return Commit(head, dirty, content if dirty else None)


def _git(*args: str) -> str | None:
    try:
        process = subprocess.run(
            ["git", *args], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def this_machine(device: str, threads: int, gpu: str | None = None) -> Machine:
    """Return the facts of this machine."""
    return Machine(
        device=device,
        threads=threads,
        host=platform.node(),
        platform=platform.platform(),
        cpu_count=os.cpu_count(),
        slurm_job=os.environ.get("SLURM_JOB_ID"),
        gpu=gpu,
    )
