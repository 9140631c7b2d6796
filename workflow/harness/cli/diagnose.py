"""``diagnose``: how large the perturbations of variants are, on a model and a batch."""

import argparse
from typing import TYPE_CHECKING

from harness.cli._common import (
    Commands,
    add_command,
    add_methods_dir,
    add_out,
    add_tasks_dir,
    method_folders,
)

if TYPE_CHECKING:
    from harness.core.encoder import Encoder
    from harness.methods.interface import Batch
    from harness.plan.grid import Cell

EXAMPLE = "diagnose --task rotten_tomatoes --model minilm --method freelb --method mat --steps 60"
VARIANTS_HELP = "a variant, or VARIANT:argument=value,...; repeat it (default: all)"
HEADERS = {
    "variant": "variant",
    "l2": "L2",
    "linf": "L-inf",
    "divergence": "SKL",
    "rounding_divergence": "by rounding",
    "gradient": "its gradient",
    "gradient_rounding": "by rounding ",
    "loss_change": "loss change",
    "rounding_change": "by rounding  ",
    "logit_change": "logit change",
    "flips": "flips",
    "resolved": "resolved",
}


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "diagnose", run, "measure how large the perturbations of variants are", EXAMPLE
    )
    parser.add_argument("--task", required=True, metavar="T", help="a task (python -m harness tasks)")
    parser.add_argument("--model", required=True, metavar="M", help="a model (python -m harness models)")
    parser.add_argument(
        "--method",
        action="append",
        metavar="V",
        help=VARIANTS_HELP,
    )
    parser.add_argument(
        "--steps", type=int, default=60, metavar="N", help="vanilla steps before measuring (default: 60)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=32, metavar="B", help="examples measured (default: 32)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="a whole number (default: 1)")
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16"],
        default="fp32",
        help="precision of the measured passes (default: fp32)",
    )
    parser.add_argument("--data-root", metavar="DIR", help="folder with data files, instead of data packages")
    add_tasks_dir(parser)
    add_methods_dir(parser)
    add_out(parser)


def run(chosen: argparse.Namespace) -> None:
    """Train vanilla for some steps, then measure every variant from the same weights."""
    from tabulate import tabulate

    from harness.plan import catalogue
    from harness.runs.diagnose import consistency_gradient, dropout_floor, measured

    asked = chosen.method or catalogue.variant_names(method_folders(chosen))
    cells = [_cell(chosen, method) for method in asked]
    encoder, batch = _warmed_up(chosen, cells[0])
    rows = [
        {"variant": method, **measured(encoder, batch, cell)}
        for method, cell in zip(asked, cells, strict=True)
    ]
    rows_of = f"{chosen.batch_size} rows of {chosen.task}"
    print(f"{chosen.model}, {rows_of}, {chosen.steps} vanilla steps, {chosen.precision}")
    loss, gradient = dropout_floor(encoder, batch), consistency_gradient(encoder, batch, None)
    print(f"Dropout alone (two clean passes): SKL {loss:.1e}, its gradient {gradient:.1e}\n")
    table = [{HEADERS[key]: row.get(key, "") for key in HEADERS} for row in rows]
    print(tabulate(table, headers="keys", floatfmt=".1e"))


def _cell(chosen: argparse.Namespace, method: str) -> "Cell":
    """Return the cell of a variant, or of ``VARIANT:argument=value,...``."""
    from harness.errors import HarnessError
    from harness.plan.experiment import Experiment, VariantChange
    from harness.plan.resolve import resolve
    from harness.plan.yamlfile import read_value

    variant, _, changes = method.partition(":")
    pairs = [pair.partition("=") for pair in changes.split(",") if pair]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise HarnessError(f"--method {method}: expected argument=value, got {', '.join(wrong)}")
    arguments = {key: read_value(value) for key, _, value in pairs}
    experiment = Experiment(
        name="diagnose",
        title="Diagnosis",
        settings={
            "learning_rate": 1e-4,
            "warmup": 0.0,
            "batch_size": chosen.batch_size,
            "head_bias": "train-mean",
            "precision": chosen.precision,
        },
        tasks={chosen.task: {}},
        models={chosen.model: {}},
        variants={variant: VariantChange(arguments=arguments)},
        seeds=[chosen.seed],
        data_root=chosen.data_root,
        tasks_dirs=chosen.tasks_dir,
        methods_dirs=chosen.methods_dir,
    )
    return resolve(experiment, "command line")[0]


def _warmed_up(chosen: argparse.Namespace, cell: "Cell") -> "tuple[Encoder, Batch]":
    """Return an encoder after some vanilla steps, and a batch of rows that it was not trained on."""
    from harness.plan.experiment import Experiment
    from harness.plan.plan import Plan
    from harness.runs.diagnose import warmed_up

    experiment = Experiment.model_construct(
        name="diagnose", data_root=chosen.data_root, tasks={chosen.task: {}}, models={cell.model_name: {}}
    )
    plan = Plan(chosen.out / "diagnose", experiment, [cell], [], chosen.out)
    return warmed_up(plan, cell, chosen.seed, chosen.steps)
