"""The plan of a diagnosis: the cells whose perturbations are measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.catalogue import model_name
from harness.config.experiment import Experiment, VariantChange
from harness.config.locations import DEFAULTS, Locations
from harness.plan.grid import Cell
from harness.plan.overrides import parse_pair, with_overrides
from harness.plan.plan import Plan
from harness.plan.resolve import resolve
from harness.plan.single_run import COMMAND_LINE
from harness.util.errors import ConfigErrors, HarnessError

SETTINGS = {"learning_rate": 1e-4, "warmup": 0.0, "head_bias": "train-mean"}
"""Protocol values of the vanilla steps before a measurement."""


@dataclass(frozen=True)
class DiagnosisRequest:
    """What is measured, and on which model and batch."""

    task: str
    model: str
    methods: Sequence[str]
    """``VARIANT`` or ``VARIANT:argument=value,...``; a variant may occur several times."""
    seed: int
    batch_size: int
    precision: str
    pairs: Sequence[str] = ()
    """Values of ``--set``."""
    locations: Locations = DEFAULTS


def plan_diagnosis(request: DiagnosisRequest) -> Plan:
    """Return a plan without runs, with one cell per requested method, in their order.

    Raises:
        ConfigErrors: all unknown names and keys and wrong values.
    """
    experiments: list[Experiment] = []
    cells: list[Cell] = []
    errors: list[str] = []
    for method in request.methods:
        try:
            experiments.append(_experiment(request, method))
            cells += resolve(experiments[-1], COMMAND_LINE)[0]
        except ConfigErrors as error:
            errors += [message for message in error.errors if message not in errors]
    if errors:
        raise ConfigErrors(errors)
    return Plan(COMMAND_LINE, experiments[0], cells, [], request.locations.results)


def _experiment(request: DiagnosisRequest, method: str) -> Experiment:
    variant, arguments = _parse_method(method)
    experiment = Experiment(
        name="diagnose",
        title="Diagnosis",
        settings={**SETTINGS, "batch_size": request.batch_size, "precision": request.precision},
        tasks={request.task: {}},
        models={model_name(request.model): {}},
        variants={variant: VariantChange(arguments=arguments)},
        seeds=[request.seed],
    )
    others = {_parse_method(method)[0] for method in request.methods} - {variant}
    pairs = [pair for pair in request.pairs if pair.partition(".")[0] not in others]
    experiment = request.locations.added_to(experiment)
    experiment, errors = with_overrides(experiment, pairs, None if others else variant)
    if errors:
        raise ConfigErrors(errors)
    return experiment


def _parse_method(method: str) -> tuple[str, dict[str, Any]]:
    """Return variant and arguments of ``VARIANT:argument=value,...``.

    Raises:
        ConfigErrors: all parts that are not ``argument=value``.
    """
    variant, _, changes = method.partition(":")
    arguments, errors = {}, []
    for pair in filter(None, changes.split(",")):
        try:
            name, value = parse_pair(pair)
            arguments[name] = value
        except HarnessError:
            errors.append(f"--method {method}: expected argument=value, got {pair}")
    if errors:
        raise ConfigErrors(errors)
    return variant, arguments
