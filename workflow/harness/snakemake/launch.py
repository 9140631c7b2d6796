"""Running an experiment through Snakemake."""

import subprocess
import sys
from pathlib import Path

from harness.util.paths import ROOT, display_path

SNAKEFILE = ROOT / "Snakefile"


def command(file: Path) -> list[str]:
    """Return the command that runs the experiment in ``file``."""
    place = [] if Path.cwd() == ROOT else ["--snakefile", display_path(SNAKEFILE)]
    return ["snakemake", *place, "all", "--configfile", display_path(file)]


def run_workflow(file: Path, *options: str, quiet: bool = False) -> bool:
    """Run the experiment in ``file`` to its tables; return whether everything is done.

    Snakemake's messages go to standard error, or only to its log if ``quiet``.
    """
    output = subprocess.DEVNULL if quiet else sys.stderr
    process = subprocess.run(
        [sys.executable, "-m", *command(file), *options], check=False, stdout=output, stderr=output
    )
    return process.returncode == 0
