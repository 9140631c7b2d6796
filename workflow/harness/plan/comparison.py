"""An experiment from a few names: some methods, on some tasks, with some seeds."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.config.base import check
from harness.config.catalogue import model_name
from harness.config.experiment import TUNED, Experiment, load_experiment
from harness.config.locations import DEFAULTS, Locations
from harness.plan.overrides import with_overrides
from harness.plan.resolve import resolve
from harness.util.errors import ConfigErrors, HarnessError
from harness.util.files import write_text
from harness.util.hashing import digest
from harness.util.paths import RESULTS, display_path

OWN = {"name", "title", "banner", "seeds"}
"""Keys that a comparison does not take from another experiment."""
HEAD = "# Written by `harness compare`. A copy in config/ under another name is an experiment of that name.\n"


@dataclass(frozen=True)
class ComparisonRequest:
    """What is compared."""

    variants: Sequence[str]
    tasks: Sequence[str]
    models: Sequence[str]
    seeds: int
    """Number of seeds, 1 to ``seeds``."""
    pairs: Sequence[str] = ()
    """Values of ``--set``."""
    locations: Locations = DEFAULTS


def comparison(request: ComparisonRequest, like: Experiment | None = None) -> Experiment:
    """Return the experiment that compares the requested methods.

    ``like`` provides protocol and settings, and its changes of the same tasks, models and variants. The name
    depends on everything but the seeds, so that a comparison with more seeds reuses existing runs.

    Raises:
        ConfigErrors: all unknown names and keys and wrong values.
    """
    values = _values(request, like)
    errors = _missing_bases(values["variants"])
    if request.seeds < 1:
        errors.append(f"--seeds {request.seeds}: expected 1 or more")
    head = {
        "name": "compare",
        "title": f"{', '.join(request.variants)} on {', '.join(request.tasks)}",
        "seeds": list(range(1, max(request.seeds, 1) + 1)),
    }
    experiment, value_errors = check(Experiment, {**values, **head}, "compare")
    if experiment is None:
        raise ConfigErrors(errors + value_errors)
    experiment, set_errors = with_overrides(request.locations.added_to(experiment), request.pairs)
    if errors or set_errors:
        raise ConfigErrors(errors + set_errors)
    experiment = experiment.model_copy(update={"name": _name(request, experiment)})
    resolve(experiment, "compare")
    return experiment


def _values(request: ComparisonRequest, like: Experiment | None) -> dict[str, Any]:
    """Return the values of the experiment without OWN: those of ``like``, for the requested names."""
    values = like.model_dump(exclude_unset=True, exclude=OWN) if like else {}
    for key in ("tasks", "models", "variants"):
        changes = values.get(key, {})
        values[key] = {name: changes.get(name) or {} for name in map(model_name, getattr(request, key))}
    tuned = {c.get("of") or name for name, c in values["variants"].items() if c.get("arguments") == TUNED}
    if not tuned:
        values.pop("tuning", None)
    elif "space" in values.get("tuning", {}):
        values["tuning"]["space"] = {n: one for n, one in values["tuning"]["space"].items() if n in tuned}
    return values


def _missing_bases(variants: Mapping[str, Any]) -> list[str]:
    """Return an error for each variant that inherits from one that is not requested."""
    bases = {name: change.get("of") for name, change in variants.items()}
    return [
        f"--methods: {name} inherits the arguments of {base}; name both"
        for name, base in bases.items()
        if base and base not in variants
    ]


def _name(request: ComparisonRequest, experiment: Experiment) -> str:
    words = re.sub("[^a-z0-9]+", "-", "-".join([*request.variants, "on", *request.tasks]).lower())
    values = experiment.model_dump(exclude_unset=True, exclude=OWN)
    return f"compare-{words[:48].strip('-')}-{digest(values)[:6]}"


def write_comparison(experiment: Experiment, results: Path = RESULTS) -> Path:
    """Write the experiment's file, ``results/<name>/experiment.yaml``; return its path.

    Raises:
        HarnessError: the file contains another experiment, in more than the seeds.
    """
    path = results / experiment.name / "experiment.yaml"
    if path.is_file() and _without_seeds(load_experiment(path)) != _without_seeds(experiment):
        raise HarnessError(f"{display_path(path)}: contains another experiment; move it away")
    content = experiment.model_dump(exclude_unset=True)
    write_text(path, HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return path


def _without_seeds(experiment: Experiment) -> dict[str, Any]:
    return experiment.model_dump(exclude={"seeds"})
