"""``reference``: make a finished experiment the tracked reference of its name."""

import argparse

from harness.cli._common import Commands, add_command, add_experiment, experiment_file


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "reference", run, "copy a finished experiment to results/reference/", "reference quick"
    )
    add_experiment(parser)


def run(chosen: argparse.Namespace) -> None:
    """Copy plan, frame, comparisons, tables and figures to where git tracks them."""
    from harness.paths import shown
    from harness.plan.plan import make_plan
    from harness.report.reference import make_reference

    print(shown(make_reference(make_plan(experiment_file(chosen.experiment), chosen.out))))
