"""``clean-superseded``: delete run folders that are no longer in the experiment."""

import argparse
import shutil

from harness.cli._common import Commands, add_command, add_experiment, plan_of


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "clean-superseded",
        run,
        "delete run folders that are no longer in the experiment",
        "clean-superseded quick --dry-run",
    )
    add_experiment(parser)
    parser.add_argument("--dry-run", action="store_true", help="only list them")


def run(args: argparse.Namespace) -> None:
    """List the folders, then delete them."""
    from harness.runs.history import superseded
    from harness.util.errors import HarnessError
    from harness.util.lock import holders_of

    plan = plan_of(args)
    folders = list(superseded(plan))
    if busy := sorted(map(str, holders_of(folders))):
        raise HarnessError(f"being trained, so nothing was deleted: {', '.join(busy)}")
    for path in folders:
        print(f"{'would delete' if args.dry_run else 'deleted'} {path}")
        if not args.dry_run:
            shutil.rmtree(path)
    print(f"{len(folders)} superseded, {len(plan.runs)} planned")
