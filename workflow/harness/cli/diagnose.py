"""``diagnose``: how large the perturbations of variants are, on a model and a batch."""

import argparse
from typing import TYPE_CHECKING, Any

from harness.cli._common import Commands, add_command, add_out

if TYPE_CHECKING:
    from harness.core.encoder import Encoder
    from harness.methods.interface import Batch
    from harness.plan.grid import Cell

EXAMPLE = "diagnose --task rotten_tomatoes --model minilm --method freelb --method mat --steps 60"
HEADERS = {
    "variant": "variant",
    "l2": "L2",
    "linf": "L-inf",
    "divergence": "SKL to clean",
    "logit_change": "logit change",
    "flips": "flips",
    "loss_change": "loss change",
    "rounding_change": "by rounding",
    "gradient": "gradient of SKL by delta",
    "gradient_dropout": "by dropout",
    "resolved": "resolved",
}


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(commands, "diagnose", run, "measure the perturbations of variants", EXAMPLE)
    parser.add_argument("--task", required=True, metavar="T", help="a task (python -m harness tasks)")
    parser.add_argument("--model", required=True, metavar="M", help="a model (python -m harness models)")
    parser.add_argument("--method", action="append", metavar="V", help="a variant; repeat it (default: all)")
    parser.add_argument(
        "--steps", type=int, default=60, metavar="N", help="vanilla steps before measuring (60)"
    )
    parser.add_argument("--batch-size", type=int, default=32, metavar="B", help="examples measured (32)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="a whole number")
    parser.add_argument(
        "--precision", choices=["fp32", "bf16"], default="fp32", help="of the measured passes"
    )
    parser.add_argument("--data-root", metavar="DIR", help="folder with data files, instead of data packages")
    add_out(parser)


def run(chosen: argparse.Namespace) -> None:
    """Train vanilla for some steps, then measure every variant from the same weights."""
    from tabulate import tabulate

    from harness.plan import catalogue

    cells = _cells(chosen, chosen.method or list(catalogue.variants()))
    encoder, batch, dropout_floor = _trained(chosen, cells[0])
    rows = [_measured(encoder, batch, cell) for cell in cells]
    rows_of = f"{chosen.batch_size} rows of {chosen.task}"
    print(f"{chosen.model}, {rows_of}, {chosen.steps} vanilla steps, {chosen.precision}")
    print(f"SKL between two clean passes that differ in dropout alone: {dropout_floor:.1e}\n")
    table = [{HEADERS[key]: row.get(key, "") for key in HEADERS} for row in rows]
    print(tabulate(table, headers="keys", floatfmt=".1e"))


def _cells(chosen: argparse.Namespace, variants: list[str]) -> "list[Cell]":
    from harness.plan.experiment import Experiment, VariantChange
    from harness.plan.grid import resolve

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
        variants=dict.fromkeys(variants, VariantChange()),
        seeds=[chosen.seed],
        data_root=chosen.data_root,
    )
    return resolve(experiment, "command line")


def _trained(chosen: argparse.Namespace, cell: "Cell") -> "tuple[Encoder, Batch, float]":
    """Return an encoder after some vanilla steps, a batch, and the consistency that dropout alone costs."""
    from harness.plan.experiment import Experiment
    from harness.plan.plan import Plan
    from harness.runs.diagnose import dropout_floor, warmed_up

    experiment = Experiment.model_construct(name="diagnose", data_root=chosen.data_root)
    plan = Plan(chosen.out / "diagnose", experiment, [cell], [], chosen.out)
    encoder, batch = warmed_up(plan, cell, chosen.seed, chosen.steps)
    return encoder, batch, dropout_floor(encoder, batch)


def _measured(encoder: "Encoder", batch: "Batch", cell: "Cell") -> dict[str, Any]:
    from harness.runs.diagnose import measured

    return {"variant": cell.variant, **measured(encoder, batch, cell)}
