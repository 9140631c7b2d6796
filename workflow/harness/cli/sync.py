"""``sync``: bring MLflow in line with the run folders of every experiment."""

import argparse

from harness.cli._common import Commands, add_command, add_out


def register(commands: Commands) -> None:
    """Declare the command."""
    add_out(add_command(commands, "sync", run, "rebuild the MLflow store from all run folders", "sync"))


def run(chosen: argparse.Namespace) -> None:
    """Mirror every experiment that has run folders; an empty store is filled, a full one mended."""
    from harness.errors import HarnessError
    from harness.report.mirror import mirror

    names = sorted(path.parent.name for path in chosen.out.glob("*/runs") if path.is_dir())
    if not names:
        raise HarnessError(f"{chosen.out}: no run folders there")
    for name in names:
        counts = mirror(chosen.out, name)
        print(f"{name}: {', '.join(f'{n} {word}' for word, n in counts.items())}")
