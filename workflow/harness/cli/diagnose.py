"""``diagnose``: the size of the perturbations of variants, on one model and batch."""

import argparse
from typing import TYPE_CHECKING

from harness.cli._common import (
    Commands,
    add_command,
    add_data_root,
    add_methods_dir,
    add_out,
    add_set,
    add_tasks_dir,
    folders,
    locations,
)

if TYPE_CHECKING:
    from harness.runs.diagnose import Measurement

HEAD = (
    "variant", "L2", "L-inf", "SKL", "by rounding", "its gradient", "by rounding ", "loss change",
    "by rounding  ", "logit change", "flips", "resolved",
)  # fmt: skip


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "diagnose",
        run,
        "measure the size of the perturbations of variants",
        "diagnose --task rotten_tomatoes --model minilm --method freelb --method mat --steps 60",
    )
    parser.add_argument("--task", required=True, metavar="T", help="a task (harness tasks)")
    parser.add_argument("--model", required=True, metavar="M", help="a model (harness models)")
    parser.add_argument(
        "--method",
        action="append",
        metavar="V",
        help="a variant, or VARIANT:argument=value,...; repeatable (default: all)",
    )
    parser.add_argument(
        "--steps", type=int, default=60, metavar="N", help="vanilla steps before measuring (default: 60)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=32, metavar="B", help="examples measured (default: 32)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="an integer (default: 1)")
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16"],
        default="fp32",
        help="precision of the measured passes (default: fp32)",
    )
    add_set(parser, "a protocol value, VARIANT.ARGUMENT, or a computing value (device=cpu)")
    add_data_root(parser)
    add_tasks_dir(parser)
    add_methods_dir(parser)
    add_out(parser)


def run(args: argparse.Namespace) -> None:
    """Train vanilla for some steps, then measure every variant from the same weights."""
    from tabulate import tabulate

    from harness.config import catalogue
    from harness.plan.diagnosis import DiagnosisRequest, plan_diagnosis
    from harness.runs.diagnose import diagnose

    methods = args.method or catalogue.variant_names(folders(args.methods_dir))
    request = DiagnosisRequest(
        task=args.task,
        model=args.model,
        methods=methods,
        seed=args.seed,
        batch_size=args.batch_size,
        precision=args.precision,
        pairs=args.set,
        locations=locations(args),
    )
    plan = plan_diagnosis(request)
    diagnosis = diagnose(plan, plan.cells, args.seed, args.steps)
    print(
        f"{args.model}, {args.batch_size} rows of {args.task}, {args.steps} vanilla steps, {args.precision}"
    )
    floor, gradient = diagnosis.dropout_divergence, diagnosis.dropout_gradient
    print(f"Dropout only (two clean passes): SKL {floor:.1e}, its gradient {gradient:.1e}\n")
    rows = [_row(name, one) for name, one in zip(methods, diagnosis.measurements, strict=True)]
    print(tabulate(rows, headers=HEAD, floatfmt=".1e"))


def _row(name: str, measurement: "Measurement") -> list[str | float | int | bool | None]:
    """Return the line of a variant, in the order of HEAD."""
    size = measurement.magnitude
    if size is None:
        return [name, *[""] * (len(HEAD) - 1)]
    return [
        name,
        size.l2,
        size.linf,
        size.divergence,
        size.rounding_divergence,
        measurement.gradient,
        measurement.gradient_rounding,
        size.loss_change,
        size.rounding_change,
        size.logit_change,
        size.flips,
        size.resolved,
    ]
