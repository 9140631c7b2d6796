"""``pack``: several runs of an experiment in one process, for the rule that trains them together."""

import argparse
import sys
from pathlib import Path

from harness.cli._common import Commands, add_command, add_experiment, experiment_file


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "pack",
        run,
        "train several runs of an experiment in one process",
        "pack quick --runs results/quick/packs/stsb/minilm/4-0123abcd.json",
    )
    add_experiment(parser)
    parser.add_argument("--runs", required=True, type=Path, metavar="FILE", help="list that Snakemake wrote")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the experiment's)")


def run(chosen: argparse.Namespace) -> int:
    """Make every run that is not there; print its scores or its failure."""
    from harness.cli.run import summary
    from harness.cluster.packs import read_pack
    from harness.plan.plan import make_plan
    from harness.runs.attempt import end_of_time
    from harness.runs.stop import InterruptedRunError, StopRequest
    from harness.runs.together import finish_together

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    runs = read_pack(plan, chosen.runs)
    stop, failed = StopRequest(), 0
    with stop.listening():
        try:
            for one, found in finish_together(plan, runs, chosen.threads or plan.experiment.threads, stop):
                if isinstance(found, Exception):
                    failed += 1
                    print(f"error: {one.name}: {found}", file=sys.stderr, flush=True)
                else:
                    print(f"{one.name}: {summary(found)}; {plan.run_folder(one)}", flush=True)
        except InterruptedRunError as error:
            raise end_of_time(error, stop) from None
    if failed:
        print(f"error: {failed} of {len(runs)} runs failed", file=sys.stderr)
    return 1 if failed else 0
