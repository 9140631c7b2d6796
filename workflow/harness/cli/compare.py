"""``compare``: some methods on some tasks, from nothing to the table."""

import argparse
from typing import TYPE_CHECKING

from harness.cli._common import Commands, add_command, add_methods_dir, add_tasks_dir, experiment_file

if TYPE_CHECKING:
    from harness.plan.comparison import Asked
    from harness.plan.plan import Plan

EXAMPLE = """compare --methods mine,vanilla,mat --tasks rotten_tomatoes --seeds 5
  python -m harness compare --methods mine,vanilla --tasks stsb --like quick --set mine.size=0.01"""
TABLES = ("main", "claims", "cost")


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "compare", run, "run methods side by side, print scores, tests and cost", EXAMPLE
    )
    parser.add_argument("--methods", required=True, metavar="V,V", help="variants, parted by commas")
    parser.add_argument("--tasks", required=True, metavar="T,T", help="tasks, parted by commas")
    parser.add_argument("--models", default="minilm", metavar="M,M", help="models (default: minilm)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 1 to N (default: 3)")
    parser.add_argument(
        "--like", metavar="EXPERIMENT", help="take protocol, settings and arguments from this experiment"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a protocol value, or VARIANT.ARGUMENT=VALUE; repeat it",
    )
    parser.add_argument("--data-root", metavar="DIR", help="folder with data files, instead of data packages")
    add_tasks_dir(parser)
    add_methods_dir(parser)
    parser.add_argument("--dry-run", action="store_true", help="write the experiment, and train nothing")


def run(chosen: argparse.Namespace) -> int:
    """Write the experiment, run it through Snakemake, print the tables; 1 where runs are missing."""
    from harness.plan.comparison import comparison, write_comparison
    from harness.plan.experiment import load_experiment
    from harness.plan.plan import make_plan
    from harness.runs.workflow import command, run_workflow

    like = load_experiment(experiment_file(chosen.like)) if chosen.like else None
    plan = make_plan(write_comparison(comparison(_asked(chosen), like)))
    _print_plan(plan)
    if chosen.dry_run:
        print(f"to run it: {' '.join(command(plan.file))}")
        return 0
    whole = run_workflow(plan.file)
    _print_tables(plan)
    return int(not whole)


def _asked(chosen: argparse.Namespace) -> "Asked":
    from harness.plan.comparison import Asked

    places = {
        "data_root": chosen.data_root,
        "tasks_dirs": chosen.tasks_dir,
        "methods_dirs": chosen.methods_dir,
    }
    return Asked(
        variants=chosen.methods.split(","),
        tasks=chosen.tasks.split(","),
        models=chosen.models.split(","),
        seeds=chosen.seeds,
        pairs=chosen.set,
        places={key: value for key, value in places.items() if value},
    )


def _print_plan(plan: "Plan") -> None:
    from harness.paths import shown
    from harness.report.past import hours, rates
    from harness.runs.folder import RunFolder

    waiting = [run_ for run_ in plan.runs if RunFolder(plan.run_folder(run_)).result() is None]
    needed, unknown = hours(waiting, rates(plan.results))
    told = f"; nothing is known of {unknown} runs" if unknown else ""
    print(f"{shown(plan.file)}: {len(plan.runs)} runs, {len(waiting)} to do")
    print(f"by past runs about {needed:.1f} hours, one after the other{told}", flush=True)


def _print_tables(plan: "Plan") -> None:
    files = [plan.folder / "tables" / f"{name}.md" for name in TABLES]
    for path in files:
        if path.is_file():
            print(f"\n{path.read_text(encoding='utf-8')}")
    print(f"tables: {plan.folder}/tables/*.md *.tex *.csv *.html")
