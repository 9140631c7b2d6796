"""``step``: the commands that the rules of the workflow run. People need none of them."""

import argparse
import sys
from pathlib import Path

from harness.cli import fetch, tables, tune
from harness.cli import run as single_run
from harness.cli._common import (
    Commands,
    add_command,
    add_experiment,
    add_out,
    add_threads,
    plan_of,
    result_text,
)

TRAIN = "step run --experiment quick --task stsb --model minilm --method mat --seed 1 --key 0123abcd"
PACK = "step pack quick --runs results/quick/packs/stsb/minilm/4-0123abcd.json"


def register(commands: Commands) -> None:
    """Declare the command with its steps."""
    parser = commands.add_parser(
        "step",
        help="one step of the workflow (for Snakemake)",
        description="One step of the workflow. Snakemake runs these commands.",
    )
    steps = parser.add_subparsers(title="steps", metavar="STEP", required=True)
    fetch.register(steps, "step ")
    tables.register(steps, "step ")
    tune.register(steps, "step ")
    _register_data(steps)
    _register_training(steps)
    _register_report(steps)


def _register_data(steps: Commands) -> None:
    parser = add_command(
        steps,
        "tokenize",
        tokenize,
        "write the token ids of a task for a model",
        "step tokenize quick --task stsb --model minilm",
    )
    add_experiment(parser)
    parser.add_argument("--task", required=True, metavar="T", help="a task of the experiment")
    parser.add_argument("--model", required=True, metavar="M", help="a model of the experiment")
    add_out(add_command(steps, "store", store, "create the MLflow store", "step store"))


def _register_training(steps: Commands) -> None:
    parser = add_command(steps, "run", single_run.run, "train one planned run", TRAIN)
    single_run.add_run(parser)
    parser.add_argument("--key", metavar="KEY", help="refuse to run unless the run has this key")
    add_threads(parser)
    add_out(parser)
    parser = add_command(steps, "pack", pack, "train the runs of a job pack in one process", PACK)
    add_experiment(parser)
    parser.add_argument("--runs", required=True, type=Path, metavar="FILE", help="file of the job pack")
    add_threads(parser)
    parser = add_command(
        steps,
        "wait",
        wait,
        "wait for runs and jobs that an earlier Snakemake left running",
        "step wait results/quick/orphans.json",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="file that lists them")


def _register_report(steps: Commands) -> None:
    parser = add_command(
        steps, "tuned", tuned, "write the tuned files of finished studies", "step tuned quick-tuned"
    )
    add_experiment(parser)
    parser = add_command(
        steps,
        "track",
        track,
        "mirror runs to MLflow and write the files that tables read",
        "step track quick",
    )
    add_experiment(parser)


def tokenize(args: argparse.Namespace) -> None:
    """Write the missing token ids, in one folder for each maximum length of the experiment."""
    from harness.runs.session import ensure_tokens
    from harness.util.errors import HarnessError

    plan = plan_of(args)
    cells = [c for c in plan.cells if (c.task_name, c.model_name) == (args.task, args.model)]
    if not cells:
        raise HarnessError(
            f"experiment {plan.experiment.name} has no task {args.task} with model {args.model}"
        )
    for cell in {cell.tokens_key: cell for cell in cells}.values():
        print(ensure_tokens(plan, cell))


def store(args: argparse.Namespace) -> None:
    """Create the schema of the store, so that no two processes do it at once."""
    from harness.tracking.store import create_store
    from harness.util.uris import display_uri

    print(display_uri(create_store(args.out)))


def pack(args: argparse.Namespace) -> int:
    """Train every run without a result; print its scores or its failure."""
    from harness.runs.run_many import run_many
    from harness.runs.stop import stoppable
    from harness.snakemake.job_packs import read_pack

    plan = plan_of(args)
    runs, failed = read_pack(plan, args.runs), 0
    with stoppable() as stop:
        for run, outcome in run_many(plan, runs, args.threads or plan.experiment.threads, stop):
            if isinstance(outcome, Exception):
                failed += 1
                print(f"error: {run.name}: {outcome}", file=sys.stderr, flush=True)
            else:
                print(f"{run.name}: {result_text(outcome)}; {plan.run_folder(run)}", flush=True)
    if failed:
        print(f"error: {failed} of {len(runs)} runs failed", file=sys.stderr)
    return 1 if failed else 0


def wait(args: argparse.Namespace) -> None:
    """Wait on the machine of Snakemake, so that no job and no GPU is held."""
    from harness.snakemake.orphans import wait_for_orphans

    wait_for_orphans(args.file)


def tuned(args: argparse.Namespace) -> None:
    """Write the tuned file of every finished study."""
    from harness.tuning.tuned_file import write_tuned_file

    plan = plan_of(args)
    for study in plan.studies(waiting=True):
        print(write_tuned_file(plan, study))


def track(args: argparse.Namespace) -> None:
    """Bring MLflow and the exported files in line with the run folders."""
    from harness.results.export import EXPORTED, export
    from harness.results.frame import MISSING
    from harness.tracking.mirror import mirror

    plan = plan_of(args)
    rows = export(plan)
    print(f"{sum(row.status != MISSING for row in rows)} of {len(rows)} runs")
    print(f"{plan.folder}: {' '.join(EXPORTED)}")
    print(f"MLflow: {mirror(plan.results, plan.experiment.name).text}")
