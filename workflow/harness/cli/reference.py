"""``reference``: make a finished experiment the tracked reference of its name."""

import argparse

from harness.cli._common import Commands, add_command, add_experiment, plan_of


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "reference", run, "copy a finished experiment to results/reference/", "reference quick"
    )
    add_experiment(parser)


def run(args: argparse.Namespace) -> None:
    """Copy plan, frame, comparisons, tables and figures to the folder that git tracks."""
    from harness.report.reference import make_reference
    from harness.util.paths import display_path

    print(display_path(make_reference(plan_of(args))))
