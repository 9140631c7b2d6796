"""Where a number comes from: commit, versions, machine."""

import hashlib
import os
import platform
import subprocess
from importlib import metadata
from typing import Any

from harness.paths import ROOT

PACKAGES = (
    "torch", "transformers", "tokenizers", "datasets", "numpy", "scipy", "scikit-learn", "pandas",
    "mlflow", "optuna", "snakemake",
)  # fmt: skip


def commit() -> dict[str, Any]:
    """Return commit, whether the tree was changed, and the hash of the change; Nones outside git."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return {"commit": None, "dirty": None, "diff_sha256": None}
    diff = _git("diff", "HEAD") or ""
    untracked = _git("ls-files", "--others", "--exclude-standard") or ""
    dirty = bool(diff or untracked)
    content = hashlib.sha256((diff + untracked).encode()).hexdigest()
    return {"commit": head, "dirty": dirty, "diff_sha256": content if dirty else None}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine(device: str, threads: int) -> dict[str, Any]:
    """Return the machine's facts."""
    return {
        "device": device,
        "threads": threads,
        "host": platform.node(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }
