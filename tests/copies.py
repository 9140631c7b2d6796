"""Copies of the repository, to change and to run."""

import shutil
import subprocess
from pathlib import Path

from harness.paths import ROOT


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
