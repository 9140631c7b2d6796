"""``new-method``: write a working method to start from, and its test."""

import argparse
import shlex
from pathlib import Path

from harness.cli._common import Commands, add_command


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "new-method",
        run,
        "write a method to start from, and its test",
        "new-method calm",
        "new-method calm --methods-dir mine",
    )
    parser.add_argument("name", metavar="NAME", help="lower-case letters and digits, separated by - or _")
    parser.add_argument(
        "--methods-dir",
        type=Path,
        metavar="DIR",
        help="write both files there (default: baselines/ and tests/)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the two files; print the next commands."""
    from harness.config.catalogue import variant_names
    from harness.config.locations import Locations, suggest
    from harness.methods.template import new_method
    from harness.util.paths import display_path

    folder = args.methods_dir and args.methods_dir.expanduser()
    variants = variant_names((folder,) if folder and folder.is_dir() else ())
    method, test = new_method(args.name, folder, variants)
    locations = Locations(methods_dirs=(str(folder),) if folder else ())
    where = f" --methods-dir {shlex.quote(str(folder))}" if folder else ""
    compare = suggest(
        "compare", "--methods", f"{args.name},vanilla", "--tasks", "rotten_tomatoes", locations=locations
    )
    print(f"{display_path(method)}: the method, which differs from vanilla in one line")
    print(f"{display_path(test)}: its test")
    print("next:")
    print(f"  python -m pytest {display_path(test)}")
    print(f"  python -m pytest --pyargs harness.methods.conformance --method {args.name}{where}")
    print(f"  {compare}")
