"""``plan``: check an experiment and list its runs."""

import argparse
from typing import TYPE_CHECKING, Any

from harness.cli._common import Commands, add_command, add_experiment, experiment_file

if TYPE_CHECKING:
    from harness.plan.grid import Run
    from harness.plan.plan import Plan

NOTE = """\
passes: forward passes of a training batch, a backward counts 2, one to the input alone 1
GPU-hours: estimated as 2 operations a weight and token (the maximum length where a task states no
mean) at {:g} TFLOP/s sustained (gpu_tflops)"""


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(commands, "plan", run, "check an experiment and write its plan", "plan quick")
    add_experiment(parser)
    parser.add_argument("--runs", action="store_true", help="list every run with its key")


def run(chosen: argparse.Namespace) -> None:
    """Write plan.json; print runs done and to do, and their cost."""
    from tabulate import tabulate

    from harness.paths import shown
    from harness.plan.plan import make_plan, write_plan
    from harness.runs.folder import RunFolder

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    path = write_plan(plan)
    waiting = [r for r in plan.runs if RunFolder(plan.run_folder(r)).result() is None]
    if chosen.runs:
        for run_ in plan.runs:
            print(f"{'to do' if run_ in waiting else 'done '}  {run_.key[:8]}  {run_.name}")
    print(tabulate(_costs(plan, waiting), headers="keys", floatfmt=",.0f", missingval="?"))
    done = len(plan.runs) - len(waiting)
    print(f"\n{len(plan.runs)} runs, {done} done, {len(waiting)} to do; plan: {shown(path)}")
    print(NOTE.format(plan.experiment.gpu_tflops))
    if advice := plan.must_be_fetched():
        print(advice)


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
