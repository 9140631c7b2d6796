"""The plan of one run that the command line names."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.config.catalogue import model_name
from harness.config.experiment import Experiment, VariantChange, load_experiment
from harness.config.locations import DEFAULTS, Locations, suggest
from harness.plan.grid import Run
from harness.plan.overrides import with_overrides
from harness.plan.plan import Plan, plan_of
from harness.util.errors import ConfigErrors, HarnessError, unknown
from harness.util.paths import display_path

COMMAND_LINE = Path("command line")
"""Place of values without a file, in error messages."""


@dataclass(frozen=True)
class RunRequest:
    """One run: task, model, variant and seed."""

    task: str
    model: str
    variant: str
    seed: int
    experiment: Path | None = None
    """Experiment file whose protocol and arguments apply; None for the defaults."""
    pairs: Sequence[str] = ()
    """Values of ``--set``."""
    locations: Locations = DEFAULTS


def plan_single_run(request: RunRequest) -> Plan:
    """Return a plan that contains only the requested run.

    Raises:
        ConfigErrors: all unknown names and keys and wrong values.
        HarnessError: the run's arguments come from a study that is not finished.
    """
    experiment, errors = with_overrides(_experiment(request), request.pairs, request.variant)
    if errors:
        raise ConfigErrors(errors)
    change = experiment.variants[request.variant]
    if isinstance(change.arguments, dict) and change.of is None:
        experiment = _only(experiment, request)
    plan = plan_of(experiment, request.experiment or COMMAND_LINE, request.locations.results)
    cell = f"{request.task}/{model_name(request.model)}/{request.variant}"
    run = next(run for run in plan.runs if run.cell.name == cell)
    if run.cell.awaits_tuning:
        file = display_path(request.experiment or COMMAND_LINE)
        command = suggest("tune", file, locations=request.locations)
        raise HarnessError(
            f"{run.name}: its arguments come from a study that is not finished; type first: {command}"
        )
    return replace(plan, file=COMMAND_LINE, cells=[run.cell], runs=[run])


def check_key(run: Run, key: str) -> None:
    """Raise HarnessError if ``run`` does not have the planned ``key``."""
    if run.key != key:
        raise HarnessError(
            f"{run.name}: its key is {run.key[:8]}, planned was {key[:8]}; configuration or method have "
            "changed since; start snakemake again"
        )


def _experiment(request: RunRequest) -> Experiment:
    """Return the experiment that contains the run, with the requested seed only."""
    model = model_name(request.model)
    if request.experiment is None:
        experiment = Experiment(
            name="adhoc",
            title="Runs by hand",
            tasks={request.task: {}},
            models={model: {}},
            variants={request.variant: VariantChange()},
            seeds=[request.seed],
        )
    else:
        experiment = load_experiment(request.experiment)
        _check_names(request, experiment, request.experiment)
    return request.locations.added_to(experiment).model_copy(update={"seeds": [request.seed]})


def _check_names(request: RunRequest, experiment: Experiment, file: Path) -> None:
    """Raise ConfigErrors if the experiment in ``file`` lacks the requested task, model, variant or seed."""
    names: dict[str, tuple[object, Collection[object]]] = {
        "task": (request.task, experiment.tasks),
        "model": (model_name(request.model), experiment.models),
        "variant": (request.variant, experiment.variants),
        "seed": (request.seed, experiment.seeds),
    }
    where = f"--experiment {display_path(file)}"
    errors = [
        f"{where}: {unknown(kind, name, map(str, valid))}"
        for kind, (name, valid) in names.items()
        if name not in valid
    ]
    if errors:
        raise ConfigErrors(errors)


def _only(experiment: Experiment, request: RunRequest) -> Experiment:
    """Return the experiment with one task, model and variant, so that nothing else is resolved."""
    model = model_name(request.model)
    return experiment.model_copy(
        update={
            "tasks": {request.task: experiment.tasks[request.task]},
            "models": {model: experiment.models[model]},
            "variants": {request.variant: experiment.variants[request.variant]},
            "tuning": None,
        }
    )
