"""``new-method``: a working method to change, and its test."""

import argparse
from pathlib import Path

from harness.cli._common import Commands, add_command


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "new-method",
        run,
        "write a method to start from, and its test",
        "new-method calm\n  python -m harness new-method calm --methods-dir mine",
    )
    parser.add_argument("name", metavar="NAME", help="small letters and digits, parted by - or _")
    parser.add_argument(
        "--methods-dir",
        type=Path,
        metavar="DIR",
        help="write both files there (default: baselines/ and tests/)",
    )


def run(chosen: argparse.Namespace) -> None:
    """Write the two files; print what to do with them."""
    from harness.paths import shown
    from harness.template import new_method

    folder = chosen.methods_dir and chosen.methods_dir.expanduser()
    method, test = new_method(chosen.name, folder)
    where = f" --methods-dir {folder}" if folder else ""
    print(f"{shown(method)}: the method, vanilla but for one line")
    print(f"{shown(test)}: its test")
    print("next:")
    print(f"  python -m pytest {shown(test)}")
    print(f"  python -m pytest --pyargs harness.methods.conformance --method {chosen.name}{where}")
    print(f"  python -m harness compare --methods {chosen.name},vanilla --tasks rotten_tomatoes{where}")
