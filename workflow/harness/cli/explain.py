"""``explain``: the runs, configuration and commit behind one cell of a table."""

import argparse

from harness.cli._common import Commands, add_command, add_experiment, experiment_file

EXAMPLE = "explain quick mat stsb\n  python -m harness explain paper mat cola --model roberta-large"


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(commands, "explain", run, "tell where a cell of a table comes from", EXAMPLE)
    add_experiment(parser)
    parser.add_argument("variant", metavar="VARIANT", help="row of the cell")
    parser.add_argument("task", metavar="TASK", help="column of the cell")
    parser.add_argument("--model", metavar="M", help="just this model of the experiment (default: all)")


def run(chosen: argparse.Namespace) -> None:
    """Print what is known of each run of the cell."""
    from harness.errors import HarnessError, unknown
    from harness.plan.plan import make_plan
    from harness.report.explain import explanation

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    asked = {"variant": chosen.variant, "task_name": chosen.task, "model_name": chosen.model}
    cells = plan.cells
    for key, name in asked.items():
        if name is not None:
            known = {getattr(cell, key) for cell in cells}
            if name not in known:
                raise HarnessError(unknown(key.removesuffix("_name"), name, known))
            cells = [cell for cell in cells if getattr(cell, key) == name]
    print("\n".join(explanation(plan, cell) for cell in cells), end="")
