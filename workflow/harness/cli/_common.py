"""Declarations that several commands share: a command, an experiment, folders, ``--set``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.util.paths import RESULTS

if TYPE_CHECKING:
    from harness.config.locations import Locations
    from harness.config.result import Result
    from harness.plan.plan import Plan

Commands = Any  # argparse has no public name for the type of add_subparsers()


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    summary: str,
    *examples: str,
) -> argparse.ArgumentParser:
    """Declare a command with its help and examples (without the leading ``harness``)."""
    lines = [f"  harness {example}" for example in examples]
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="\n".join(["examples:" if len(lines) > 1 else "example:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    return parser


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """Add the argument EXPERIMENT and the results folder."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a file, or a name in config/")
    add_out(parser)


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add the results folder."""
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="DIR", help="results folder (default: results)"
    )


def add_data_root(parser: argparse.ArgumentParser) -> None:
    """Add the data root."""
    parser.add_argument(
        "--data-root", metavar="DIR", help="data root: folder with data files that replace other sources"
    )


def add_tasks_dir(parser: argparse.ArgumentParser) -> None:
    """Add the folders with custom task files."""
    parser.add_argument(
        "--tasks-dir", action="append", default=[], metavar="DIR", help="folder with custom tasks; repeatable"
    )


def add_methods_dir(parser: argparse.ArgumentParser) -> None:
    """Add the folders with custom method files."""
    parser.add_argument(
        "--methods-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="folder with custom methods; repeatable",
    )


def add_set(parser: argparse.ArgumentParser, names: str) -> None:
    """Add ``--set``; ``names`` are the keys that it accepts here."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help=f"{names}; repeatable"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the number of threads."""
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the experiment's)")


def locations(args: argparse.Namespace) -> "Locations":
    """Return the folders that the user gave."""
    from harness.config.locations import Locations

    return Locations(
        data_root=getattr(args, "data_root", None),
        tasks_dirs=tuple(getattr(args, "tasks_dir", ())),
        methods_dirs=tuple(getattr(args, "methods_dir", ())),
        results=getattr(args, "out", RESULTS),
    )


def folders(names: list[str]) -> tuple[Path, ...]:
    """Return the paths of folders that the user gave."""
    return tuple(Path(name).expanduser() for name in names)


def plan_of(args: argparse.Namespace) -> "Plan":
    """Return the plan of the experiment that the user named."""
    from harness.config.catalogue import experiment_file
    from harness.plan.plan import make_plan

    return make_plan(experiment_file(args.experiment), args.out)


def result_text(result: "Result") -> str:
    """Return status, scores and training time of a run in one line."""
    scores = [f"{split} {m} {v:.4f}" for split, metrics in result.metrics.items() for m, v in metrics.items()]
    reason = f" ({result.flags['reason']})" if result.flags.get("reason") else ""
    training = f"{result.cost.train_seconds:.0f} s of training"
    return f"{result.status}{reason}; {', '.join(scores) or 'no scores'}; {training}"
