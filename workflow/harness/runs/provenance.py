"""Where a number comes from: commit, versions of packages, machine."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from harness.util.paths import ROOT

CODE = ("*.py", "*.yaml", "*.smk", "Snakefile")
"""Untracked files whose content can change a number."""
NO_REPOSITORY = "not a git repository"
PACKAGES = (
    "torch", "transformers", "tokenizers", "datasets", "numpy", "scipy", "scikit-learn", "pandas",
    "mlflow", "optuna", "snakemake",
)  # fmt: skip


@dataclass(frozen=True)
class Commit:
    """The commit of the code, and its uncommitted changes; all None outside git."""

    commit: str | None
    dirty: bool | None
    """Whether the working tree differs from the commit, or None if git could not report it."""
    diff_sha256: str | None
    """Hash of the difference and of the content of untracked code, None without one."""
    git_error: str | None = None
    """Git's message if it failed, such as ``fatal: detected dubious ownership in repository at ...``."""


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
    try:
        head = _git("rev-parse", "HEAD").decode().strip()
    except _GitError as error:
        return Commit(None, None, None, None if NO_REPOSITORY in str(error) else str(error))
    try:
        diff = _git("diff", "HEAD")
        untracked = _git("ls-files", "-z", "--others", "--exclude-standard", "--", *CODE)
    except _GitError as error:
        return Commit(head, None, None, str(error))
    if not diff and not untracked:
        return Commit(head, False, None)
    content = hashlib.sha256(diff)
    for name in filter(None, untracked.split(b"\0")):
        content.update(name + b"\0" + _bytes(ROOT / os.fsdecode(name)))
    return Commit(head, True, content.hexdigest())


class _GitError(Exception):
    """Git is missing, failed, or did not respond."""


def _git(*args: str) -> bytes:
    """Return the output of git; it may hold any bytes."""
    try:
        process = subprocess.run(
            ["git", *args],
            cwd=ROOT,
            capture_output=True,
            check=False,
            timeout=30,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise _GitError(f"git cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise _GitError(f"git {args[0]} did not respond within 30 seconds") from None
    if process.returncode:
        message = process.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise _GitError(message or f"git {args[0]} ended with status {process.returncode}")
    return process.stdout


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # deleted since git listed it, or a broken link
        return b""


def commit_text(provenance: Mapping[str, object]) -> str:
    """Return the commit and the state of the working tree, or why git did not report them."""
    commit, problem = provenance.get("commit"), provenance.get("git_error")
    if commit is None:
        return f"unknown ({problem})" if problem else "not in git"
    if provenance.get("dirty") is None:
        return f"{commit}, uncommitted changes unknown" + (f" ({problem})" if problem else "")
    return f"{commit} with uncommitted changes" if provenance["dirty"] else str(commit)


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
