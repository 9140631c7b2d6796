"""``sync``: bring MLflow in line with the run folders of every experiment."""

import argparse

from harness.cli._common import Commands, add_command, add_out


def register(commands: Commands) -> None:
    """Declare the command."""
    add_out(add_command(commands, "sync", run, "rebuild the MLflow store from all run folders", "sync"))


def run(args: argparse.Namespace) -> None:
    """Mirror every experiment that has run folders."""
    from harness.tracking.mirror import mirror
    from harness.util.errors import HarnessError

    names = sorted(path.parent.name for path in args.out.glob("*/runs") if path.is_dir())
    if not names:
        raise HarnessError(f"{args.out}: no run folders")
    for name in names:
        print(f"{name}: {mirror(args.out, name).text}")
