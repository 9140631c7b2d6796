"""``plan``: check an experiment and list its runs."""

import argparse
from typing import TYPE_CHECKING

from harness.cli._common import Commands, add_command, add_experiment, plan_of

if TYPE_CHECKING:
    from pathlib import Path

    from harness.plan.grid import Run
    from harness.plan.plan import Plan

NOTE = """\
forward equivalents: forward passes of one example; a backward pass counts 2, one to the input only 1
GPU-hours: estimated from 2 operations per weight and token (the maximum length if a task states no
mean) at {:g} TFLOP/s sustained (gpu_tflops)"""


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "plan",
        run,
        "check an experiment, write its plan, print its cost",
        "plan quick",
        "plan paper --runs",
    )
    add_experiment(parser)
    parser.add_argument("--runs", action="store_true", help="list every run with its key")
    parser.add_argument(
        "--limit", type=float, metavar="HOURS", help="hours of runs that are not an error (default: 24)"
    )


def run(args: argparse.Namespace) -> None:
    """Write plan.json; print finished and remaining runs, and their cost."""
    from harness.plan.plan import write_plan
    from harness.runs.folder import RunFolder
    from harness.runs.history import LIMIT_HOURS, check_limit, hours, hours_text, rates, superseded
    from harness.util.paths import display_path

    plan = plan_of(args)
    path = write_plan(plan)
    to_do = [r for r in plan.runs if RunFolder(plan.run_folder(r)).result() is None]
    old = superseded(plan)
    if args.runs:
        _print_runs(plan, to_do, old)
    _print_costs(plan, to_do)
    done = len(plan.runs) - len(to_do)
    counts = f"{len(plan.runs)} runs, {done} done, {len(to_do)} to do, {len(old)} superseded"
    print(f"{counts}; plan: {display_path(path)}")
    total, unknown = hours(to_do, rates(args.out))
    print(hours_text(total, unknown, len(to_do)))
    if advice := plan.must_be_fetched():
        print(advice)
    check_limit(LIMIT_HOURS if args.limit is None else args.limit, total, len(to_do))


def _print_runs(plan: "Plan", to_do: "list[Run]", old: "dict[Path, str]") -> None:
    """Print every run, the reason why it has no result, and every superseded folder."""
    from harness.runs.history import reason_to_run
    from harness.util.paths import display_path

    for planned in plan.runs:
        why = f"  ({reason_to_run(plan, planned, old)})" if planned in to_do else ""
        print(f"{'to do' if planned in to_do else 'done '}  {planned.key[:8]}  {planned.name}{why}")
    for folder, reason in old.items():
        print(f"superseded  {display_path(folder)}  ({reason})")


def _print_costs(plan: "Plan", to_do: "list[Run]") -> None:
    """Print one line for each unfinished study, and for each task and model with remaining runs."""
    from tabulate import tabulate

    from harness.config.locations import Locations, suggest
    from harness.plan.summary import runs_costs, study_cost
    from harness.util.paths import display_path

    if studies := [study_cost(study) for study in plan.studies(waiting=True)]:
        lines = [
            [
                cost.study.name,
                ", ".join(cost.study.space),
                f"{cost.study.tuning.amount:,g} {cost.study.tuning.kind.replace('_', ' ')}",
                cost.trial,
                cost.trials,
                cost.forward_equivalents,
            ]
            for cost in studies
        ]
        head = ["study", "tuned", "budget", "per trial", "trials", "forward equivalents"]
        print(tabulate(lines, headers=head, floatfmt=",.0f", missingval="?"))
        command = suggest("tune", display_path(plan.file), locations=Locations(results=plan.results))
        print(f"studies to do; type: {command}, or start snakemake\n")
    if to_do:
        rows = [
            [
                cost.task,
                cost.model,
                cost.runs,
                cost.forward_equivalents,
                cost.evaluation_examples,
                cost.gpu_hours,
            ]
            for cost in runs_costs(plan, to_do)
        ]
        head = ["task", "model", "to do", "forward equivalents", "evaluated examples", "GPU-hours"]
        print(tabulate(rows, headers=head, floatfmt=",.0f", missingval="?"))
        print(NOTE.format(plan.experiment.gpu_tflops) + "\n")
