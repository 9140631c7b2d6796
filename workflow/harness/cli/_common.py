"""What several commands share: how a command is declared, and how an experiment is named."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.paths import CONFIG, RESULTS

Commands = Any  # argparse names the type of add_subparsers() privately


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int | None], summary: str, example: str
) -> argparse.ArgumentParser:
    """Declare a command with its help and an example."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"{'examples' if chr(10) in example else 'example'}:\n  python -m harness {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    return parser


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """Add the argument EXPERIMENT and the place of results."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a file, or a name in config/")
    add_out(parser)


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add the place of results."""
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="DIR", help="results folder (default: results)"
    )


def add_tasks_dir(parser: argparse.ArgumentParser) -> None:
    """Add the folders with task files of one's own."""
    parser.add_argument(
        "--tasks-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="folder with tasks of your own; repeat it",
    )


def task_folders(chosen: argparse.Namespace) -> tuple[Path, ...]:
    """Return the folders given by --tasks-dir."""
    return tuple(Path(folder).expanduser() for folder in chosen.tasks_dir)


def add_methods_dir(parser: argparse.ArgumentParser) -> None:
    """Add the folders with method files of one's own."""
    parser.add_argument(
        "--methods-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="folder with methods of your own; repeat it",
    )


def method_folders(chosen: argparse.Namespace) -> tuple[Path, ...]:
    """Return the folders given by --methods-dir."""
    return tuple(Path(folder).expanduser() for folder in chosen.methods_dir)


def experiment_file(name: str) -> Path:
    """Return the file that EXPERIMENT stands for.

    Raises:
        HarnessError: there is no such file; the names in config/ and the nearest are told.
    """
    from harness.errors import HarnessError, unknown

    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise HarnessError(f"{path}: there is no such file")
        return path
    names = {p.stem for p in CONFIG.glob("*.yaml")} - {"variants"}
    if name not in names:
        raise HarnessError(unknown("experiment", name, names))
    return CONFIG / f"{name}.yaml"
