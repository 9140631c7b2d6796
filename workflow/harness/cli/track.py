"""``track``: mirror run folders into MLflow and export the frame."""

import argparse

from harness.cli._common import Commands, add_command, add_experiment, experiment_file


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "track",
        run,
        "mirror runs into MLflow, export the frame (a step of the workflow)",
        "track quick",
    )
    add_experiment(parser)


def run(chosen: argparse.Namespace) -> None:
    """Bring MLflow and the frame in line with the run folders."""
    from harness.plan.plan import make_plan, write_plan
    from harness.report.comparisons import write_comparisons
    from harness.report.frame import MISSING, frame_path, write_frame
    from harness.report.mirror import mirror

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    write_plan(plan)
    counts = mirror(plan.results, plan.experiment.name)
    frame = write_frame(plan)
    comparisons = write_comparisons(plan)
    print(f"MLflow: {', '.join(f'{n} {word}' for word, n in counts.items())}")
    print(f"{frame_path(plan)}: {int((frame['status'] != MISSING).sum())} of {len(frame)} runs")
    print(comparisons)
