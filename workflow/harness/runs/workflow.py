"""An experiment run through Snakemake, as a person would."""

import subprocess
import sys
from pathlib import Path

from harness.paths import ROOT, shown

SNAKEFILE = ROOT / "Snakefile"


def command(file: Path) -> list[str]:
    """Return what a person would type to run the experiment in ``file``."""
    place = [] if Path.cwd() == ROOT else ["--snakefile", shown(SNAKEFILE)]
    return ["snakemake", *place, "all", "--configfile", shown(file)]


def run_workflow(file: Path, *options: str, quiet: bool = False) -> bool:
    """Run the experiment in ``file`` to its tables; tell whether all of it is done.

    Snakemake's own messages go to standard error, or nowhere but to its log where ``quiet``.
    """
    told = subprocess.DEVNULL if quiet else sys.stderr
    done = subprocess.run(
        [sys.executable, "-m", *command(file), *options], check=False, stdout=told, stderr=told
    )
    return done.returncode == 0
