"""``store``: make the MLflow store's schema, before anything is written to it."""

import argparse

from harness.cli._common import Commands, add_command, add_out


def register(commands: Commands) -> None:
    """Declare the command."""
    add_out(
        add_command(commands, "store", run, "make the MLflow store ready (a step of the workflow)", "store")
    )


def run(chosen: argparse.Namespace) -> None:
    """Open the store once; the first opening makes its schema."""
    from harness.report.store import open_client, shown_uri, store_lock, tracking_uri

    with store_lock(chosen.out):
        open_client(chosen.out)
    print(shown_uri(tracking_uri(chosen.out)))
