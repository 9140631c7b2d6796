"""``verify``: train a run again and compare the results."""

import argparse
from pathlib import Path

from harness.cli._common import Commands, add_command, add_out


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "verify",
        run,
        "train a run again and compare the results",
        "verify quick:stsb/minilm/mat/seed1",
    )
    parser.add_argument("run", metavar="RUN", help="a run folder, or EXPERIMENT:task/model/variant/seed<k>")
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="D",
        help="largest difference of a metric on another machine (default: 0.02)",
    )
    add_out(parser)


def run(args: argparse.Namespace) -> int:
    """Print the verdict; return 1 if the results differ."""
    from harness.runs.verify import TOLERANCE, verify
    from harness.util.paths import display_path

    folder = _folder(args)
    verification = verify(folder, TOLERANCE if args.tolerance is None else args.tolerance)
    required = f"required: {verification.required}"
    print(f"{verification.verdict} ({required}); {display_path(folder)}/verification.json")
    print(f"largest difference of a metric {verification.largest_metric_difference}, ", end="")
    print(f"of a logit {verification.largest_logit_difference}")
    return int(verification.verdict == "different")


def _folder(args: argparse.Namespace) -> Path:
    from harness.config.catalogue import experiment_file
    from harness.plan.plan import make_plan, write_plan
    from harness.util.errors import HarnessError, unknown

    experiment, colon, name = args.run.partition(":")
    if not colon:
        folder = Path(args.run)
        if not folder.is_dir():
            raise HarnessError(f"{folder}: no such folder")
        return folder.absolute()
    plan = make_plan(experiment_file(experiment), args.out)
    runs = {run.name: run for run in plan.runs}
    if name not in runs:
        raise HarnessError(unknown("run", name, runs))
    write_plan(plan)
    return plan.run_folder(runs[name]).absolute()
