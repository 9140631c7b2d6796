"""``tokenize``: make the token ids of one task under one model's tokenizer."""

import argparse

from harness.cli._common import Commands, add_command, add_experiment, experiment_file


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "tokenize",
        run,
        "make token ids of a task for a model (a step of the workflow)",
        "tokenize quick --task stsb --model minilm",
    )
    add_experiment(parser)
    parser.add_argument("--task", required=True, metavar="T", help="a task of the experiment")
    parser.add_argument("--model", required=True, metavar="M", help="a model of the experiment")


def run(chosen: argparse.Namespace) -> None:
    """Make what is not there yet (one folder for each maximum length that the experiment asks for)."""
    from harness.errors import HarnessError
    from harness.plan.plan import make_plan
    from harness.runs.prepare import ensure_tokens

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    cells = [c for c in plan.cells if (c.task_name, c.model_name) == (chosen.task, chosen.model)]
    if not cells:
        raise HarnessError(
            f"experiment {plan.experiment.name} has no task {chosen.task} with model {chosen.model}"
        )
    for cell in {cell.tokens_key: cell for cell in cells}.values():
        print(ensure_tokens(plan, cell))
