"""``compare``: run some methods on some tasks and print their tables."""

import argparse
from typing import TYPE_CHECKING

from harness.cli._common import (
    Commands,
    add_command,
    add_data_root,
    add_methods_dir,
    add_set,
    add_tasks_dir,
    locations,
)

if TYPE_CHECKING:
    from harness.plan.plan import Plan

TABLES = ("main", "claims", "cost")


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "compare",
        run,
        "run methods side by side; print scores, tests and cost",
        "compare --methods mine,vanilla,mat --tasks rotten_tomatoes --seeds 5",
        "compare --methods mine,vanilla --tasks stsb --like quick --set mine.size=0.01",
    )
    parser.add_argument(
        "--methods", required=True, metavar="V,V", help="variants, separated by commas (harness methods)"
    )
    parser.add_argument(
        "--tasks", required=True, metavar="T,T", help="tasks, separated by commas (harness tasks)"
    )
    parser.add_argument("--models", default="minilm", metavar="M,M", help="models (default: minilm)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 1 to N (default: 3)")
    parser.add_argument(
        "--like", metavar="EXPERIMENT", help="take protocol, settings and arguments from this experiment"
    )
    add_set(parser, "a protocol value, or VARIANT.ARGUMENT=VALUE")
    add_data_root(parser)
    add_tasks_dir(parser)
    add_methods_dir(parser)
    parser.add_argument("--dry-run", action="store_true", help="write the experiment, train nothing")


def run(args: argparse.Namespace) -> int:
    """Write the experiment, run it through Snakemake, print the tables; 1 if runs are missing."""
    from harness.config.catalogue import experiment_file
    from harness.config.experiment import load_experiment
    from harness.plan.comparison import ComparisonRequest, comparison, write_comparison
    from harness.plan.plan import make_plan
    from harness.snakemake.launch import command, run_workflow

    request = ComparisonRequest(
        variants=_names(args.methods),
        tasks=_names(args.tasks),
        models=_names(args.models),
        seeds=args.seeds,
        pairs=args.set,
        locations=locations(args),
    )
    like = load_experiment(experiment_file(args.like)) if args.like else None
    plan = make_plan(write_comparison(comparison(request, like)))
    _print_plan(plan)
    if args.dry_run:
        print(f"to run it: {' '.join(command(plan.file))}")
        return 0
    complete = run_workflow(plan.file)
    _print_tables(plan)
    return int(not complete)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _print_plan(plan: "Plan") -> None:
    from harness.runs.folder import RunFolder
    from harness.runs.history import hours, hours_text, rates
    from harness.util.paths import display_path

    to_do = [run for run in plan.runs if RunFolder(plan.run_folder(run)).result() is None]
    print(f"{display_path(plan.file)}: {len(plan.runs)} runs, {len(to_do)} to do")
    print(hours_text(*hours(to_do, rates(plan.results)), len(to_do)), flush=True)


def _print_tables(plan: "Plan") -> None:
    for path in [plan.folder / "tables" / f"{name}.md" for name in TABLES]:
        if path.is_file():
            print(f"\n{path.read_text(encoding='utf-8')}")
    print(f"tables: {plan.folder}/tables/*.md *.tex *.csv *.html")
