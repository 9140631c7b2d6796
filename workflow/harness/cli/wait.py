"""``wait``: until what an earlier Snakemake left behind has come to its end; for the rule of that name."""

import argparse
from pathlib import Path

from harness.cli._common import Commands, add_command


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "wait",
        run,
        "wait for runs and jobs that an earlier snakemake left at work",
        "wait results/quick/left-over.json",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a list that Snakemake wrote")


def run(chosen: argparse.Namespace) -> None:
    """Wait on the machine that Snakemake runs on: no job and no GPU is held meanwhile."""
    from harness.cluster.left_over import wait

    wait(chosen.file)
