"""``verify``: train a run again and compare."""

import argparse
from pathlib import Path

from harness.cli._common import Commands, add_command, add_out, experiment_file


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "verify", run, "train a run again and compare the two", "verify quick:stsb/minilm/mat/seed1"
    )
    parser.add_argument("run", metavar="RUN", help="a run folder, or EXPERIMENT:task/model/variant/seed<k>")
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="D",
        help="largest difference of a metric on another machine (default: 0.02)",
    )
    add_out(parser)


def run(chosen: argparse.Namespace) -> int:
    """Print the verdict; the exit status is 1 when the run is different."""
    from harness.runs.verify import DIFFERENT, TOLERANCE, verify

    folder = _folder(chosen)
    found = verify(folder, TOLERANCE if chosen.tolerance is None else chosen.tolerance)
    print(f"{found['verdict']} (demanded: {found['demanded']}); {folder}/verification.json")
    print(f"largest difference of a metric {found['largest_metric_difference']}, ", end="")
    print(f"of a logit {found['largest_logit_difference']}")
    return int(found["verdict"] == DIFFERENT)


def _folder(chosen: argparse.Namespace) -> Path:
    from harness.errors import HarnessError, unknown
    from harness.plan.plan import make_plan, write_plan

    experiment, colon, name = chosen.run.partition(":")
    if not colon:
        folder = Path(chosen.run)
        if not folder.is_dir():
            raise HarnessError(f"{folder}: there is no such folder")
        return folder.absolute()
    plan = make_plan(experiment_file(experiment), chosen.out)
    runs = {run.name: run for run in plan.runs}
    if name not in runs:
        raise HarnessError(unknown("run", name, runs))
    write_plan(plan)
    return plan.run_folder(runs[name]).absolute()
