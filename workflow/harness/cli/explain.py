"""``explain``: the runs, configuration and commit behind one cell of a table."""

import argparse

from harness.cli._common import Commands, add_command, add_experiment, plan_of


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "explain",
        run,
        "show the origin of a cell of a table",
        "explain quick mat stsb",
        "explain paper mat cola --model roberta-large",
    )
    add_experiment(parser)
    parser.add_argument("variant", metavar="VARIANT", help="row of the cell")
    parser.add_argument("task", metavar="TASK", help="column of the cell")
    parser.add_argument("--model", metavar="M", help="only this model of the experiment (default: all)")


def run(args: argparse.Namespace) -> None:
    """Print the facts of each run of the cell."""
    from harness.report.explain import explanation
    from harness.util.errors import HarnessError, unknown

    plan = plan_of(args)
    cells = plan.cells
    for key, name in (("variant", args.variant), ("task_name", args.task), ("model_name", args.model)):
        if name is not None:
            names = {getattr(cell, key) for cell in cells}
            if name not in names:
                raise HarnessError(unknown(key.removesuffix("_name"), name, names))
            cells = [cell for cell in cells if getattr(cell, key) == name]
    print("\n".join(explanation(plan, cell) for cell in cells), end="")
