"""``track``: mirror run folders into MLflow; export frame, comparisons and statistics."""

import argparse

from harness.cli._common import Commands, add_command, add_experiment, experiment_file


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "track",
        run,
        "mirror runs into MLflow, export what tables and figures read (a step of the workflow)",
        "track quick",
    )
    add_experiment(parser)


def run(chosen: argparse.Namespace) -> None:
    """Bring MLflow and the exported files in line with the run folders."""
    from harness.plan.plan import make_plan
    from harness.report.export import EXPORTED, export
    from harness.report.frame import MISSING

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    counts, frame = export(plan)
    print(f"MLflow: {', '.join(f'{n} {word}' for word, n in counts.items())}")
    print(f"{int((frame['status'] != MISSING).sum())} of {len(frame)} runs")
    print(f"{plan.folder}: {' '.join(EXPORTED)}")
