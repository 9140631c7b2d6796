"""``plan``: check an experiment and list its runs."""

import argparse
from typing import TYPE_CHECKING, Any

from harness.cli._common import Commands, add_command, add_experiment, experiment_file

if TYPE_CHECKING:
    from pathlib import Path

    from harness.plan.grid import Run
    from harness.plan.plan import Plan
    from harness.plan.study import Study

NOTE = """\
passes: forward passes of a training batch, a backward counts 2, one to the input alone 1
GPU-hours: estimated as 2 operations a weight and token (the maximum length where a task states no
mean) at {:g} TFLOP/s sustained (gpu_tflops)"""


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "plan",
        run,
        "check an experiment, write its plan, tell its cost",
        "plan quick\n  python -m harness plan paper --runs",
    )
    add_experiment(parser)
    parser.add_argument("--runs", action="store_true", help="list every run with its key")
    parser.add_argument(
        "--limit",
        type=float,
        metavar="HOURS",
        help="an error above so many hours of runs to do (default: 24)",
    )


def run(chosen: argparse.Namespace) -> None:
    """Write plan.json; print runs done and to do, and their cost."""
    from tabulate import tabulate

    from harness.paths import shown
    from harness.plan.plan import make_plan, write_plan
    from harness.report.past import LIMIT_HOURS, hours, must_be_within, rates, superseded
    from harness.runs.folder import RunFolder

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    path = write_plan(plan)
    waiting = [r for r in plan.runs if RunFolder(plan.run_folder(r)).result() is None]
    old = superseded(plan)
    if chosen.runs:
        _list(plan, waiting, old)
    if searches := plan.studies(waiting=True):
        print(tabulate(_searches(searches), headers="keys", floatfmt=",.0f", missingval="?"))
        print(f"searches to do; type: python -m harness tune {shown(plan.file)}, or start snakemake\n")
    if waiting:
        print(tabulate(_costs(plan, waiting), headers="keys", floatfmt=",.0f", missingval="?"))
        print(NOTE.format(plan.experiment.gpu_tflops) + "\n")
    done = len(plan.runs) - len(waiting)
    counts = f"{len(plan.runs)} runs, {done} done, {len(waiting)} to do, {len(old)} superseded"
    print(f"{counts}; plan: {shown(path)}")
    needed, unknown = hours(waiting, rates(chosen.out))
    untold = f"; nothing is known of {unknown} runs" if unknown else ""
    print(f"by past runs about {needed:.1f} hours, one after the other{untold}")
    if advice := plan.must_be_fetched():
        print(advice)
    must_be_within(LIMIT_HOURS if chosen.limit is None else chosen.limit, needed, len(waiting))


def _list(plan: "Plan", waiting: "list[Run]", old: "dict[Path, str]") -> None:
    """Print every run, what is to do and why, and every folder that is no longer asked for."""
    from harness.paths import shown
    from harness.report.past import why_to_do

    for run_ in plan.runs:
        why = f"  ({why_to_do(plan, run_, old)})" if run_ in waiting else ""
        print(f"{'to do' if run_ in waiting else 'done '}  {run_.key[:8]}  {run_.name}{why}")
    for folder, reason in old.items():
        print(f"superseded  {shown(folder)}  ({reason})")


def _searches(studies: "list[Study]") -> list[dict[str, Any]]:
    """Return one line for each search that is to do; its cost as if every trial had the defaults' steps."""
    from harness.plan.cost import forward_equivalents, training_passes

    lines = []
    for study in studies:
        tuning = study.tuning
        costs = [training_passes(cell) for cell in study.cells]
        trial = sum(forward_equivalents(c) for c in costs if c is not None) * tuning.seeds
        known = None not in costs
        whole = tuning.amount * trial if known else None
        some = tuning.amount // trial if known else None
        lines.append(
            {
                "search": study.name,
                "searched": ", ".join(study.space),
                "budget": f"{tuning.amount:,g} {tuning.kind}",
                "passes a trial": trial if known else None,
                "trials": {"trials": tuning.amount, "passes": some}.get(tuning.kind),
                "passes": {"trials": whole, "passes": tuning.amount}.get(tuning.kind),
            }
        )
    return lines


def _costs(plan: "Plan", waiting: "list[Run]") -> list[dict[str, Any]]:
    """Return one line for each task and model with what is to do, and one with the sum."""
    from harness.plan.cost import cost_of

    lines: dict[tuple[str, str], dict[str, Any]] = {}
    costs = {cell.name: cost_of(cell, plan.experiment.gpu_tflops) for cell in plan.cells}
    for run_ in waiting:
        cost = costs[run_.cell.name]
        values = {"passes": cost.worth, "evaluation passes": cost.evaluation, "GPU-hours": cost.gpu_hours}
        for key in ((run_.cell.task_name, run_.cell.model_name), ("all", "")):
            line = lines.setdefault(key, {"task": key[0], "model": key[1], "to do": 0})
            line["to do"] += 1
            for name, value in values.items():
                have = line.get(name, 0)
                line[name] = None if value is None or have is None else have + value
    total = lines.pop(("all", ""), None)
    return [*lines.values(), *([total] if total else [])]
