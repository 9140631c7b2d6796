"""``clean-superseded``: delete run folders that no plan of the experiment asks for any more."""

import argparse
import shutil

from harness.cli._common import Commands, add_command, add_experiment, experiment_file


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "clean-superseded",
        run,
        "delete run folders that the experiment no longer asks for",
        "clean-superseded quick --dry-run",
    )
    add_experiment(parser)
    parser.add_argument("--dry-run", action="store_true", help="only list them")


def run(chosen: argparse.Namespace) -> None:
    """List, then delete."""
    from harness.errors import HarnessError
    from harness.plan.plan import make_plan

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    wanted = {plan.run_folder(run) for run in plan.runs}
    old = [p for p in sorted((plan.folder / "runs").glob("*/*/*/seed*")) if p.is_dir() and p not in wanted]
    if busy := [str(p) for p in old if (p / "lock").exists()]:
        raise HarnessError(f"being trained, so nothing was deleted: {', '.join(busy)}")
    for path in old:
        print(f"{'would delete' if chosen.dry_run else 'deleted'} {path}")
        if not chosen.dry_run:
            shutil.rmtree(path)
    print(f"{len(old)} superseded, {len(wanted)} planned")
