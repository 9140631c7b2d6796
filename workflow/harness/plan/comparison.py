"""A small experiment made from a few names: these methods, on these tasks, with so many seeds."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import HarnessError, MistakesError, unknown
from harness.paths import RESULTS, shown
from harness.plan.experiment import COMPUTING, TUNED, Experiment, load_experiment
from harness.plan.keys import digest
from harness.plan.protocol import Protocol
from harness.plan.resolve import resolve
from harness.plan.strict import check
from harness.plan.yamlfile import read_value
from harness.runs.atomic import write_text

OWN = ("protocol", "threads", *COMPUTING)
"""Keys of an experiment that ``--set`` changes, beside the protocol's."""
HEAD = "# Written by `python -m harness compare`; in config/, under a name of its own, it is an experiment.\n"


@dataclass(frozen=True)
class Asked:
    """What is compared."""

    variants: Sequence[str]
    tasks: Sequence[str]
    models: Sequence[str]
    seeds: int
    pairs: Sequence[str] = ()
    """KEY=VALUE for all runs, VARIANT.ARGUMENT=VALUE for one variant."""
    places: Mapping[str, Any] = field(default_factory=dict)
    """``data_root``, ``tasks_dirs``, ``methods_dirs``."""


def comparison(asked: Asked, like: Experiment | None = None) -> Experiment:
    """Return the experiment that is asked for, checked as a whole.

    ``like`` lends its protocol and settings, and what it changes in tasks, models and variants of these
    names. The name tells everything but the seeds, so that more seeds go on where fewer ended.

    Raises:
        MistakesError: unknown names and keys and wrong values, all of them.
    """
    values = _lent(asked, like)
    mistakes = [*_alone(values["variants"]), *_set(values, asked.pairs)]
    if asked.seeds < 1:
        mistakes.append(f"--seeds {asked.seeds}: expected 1 or more")
    if mistakes:
        raise MistakesError(mistakes)
    words = re.sub("[^a-z0-9]+", "-", "-".join([*asked.variants, "on", *asked.tasks]).lower())
    names = {
        "name": f"compare-{words[:48].strip('-')}-{digest(values)[:6]}",
        "title": f"{', '.join(asked.variants)} on {', '.join(asked.tasks)}",
    }
    seeds = list(range(1, asked.seeds + 1))
    found, mistakes = check(Experiment, {**names, **values, "seeds": seeds}, "compare")
    if found is None:
        raise MistakesError(mistakes)
    resolve(found, "compare")
    return found


def _lent(asked: Asked, like: Experiment | None) -> dict[str, Any]:
    own = {"name", "title", "banner", "seeds"}
    lent = like.model_dump(exclude_unset=True, exclude=own) if like else {}
    for key in ("tasks", "models", "variants"):
        changes = lent.get(key, {})
        lent[key] = {name.replace("/", "--"): changes.get(name) or {} for name in getattr(asked, key)}
    tuned = {c.get("of") or name for name, c in lent["variants"].items() if c.get("arguments") == TUNED}
    if not tuned:
        lent.pop("tuning", None)
    elif "space" in lent.get("tuning", {}):
        lent["tuning"]["space"] = {n: one for n, one in lent["tuning"]["space"].items() if n in tuned}
    return lent | dict(asked.places)


def _alone(variants: Mapping[str, Any]) -> list[str]:
    """Tell of variants that take arguments over from one that is not asked for."""
    others = {name: change.get("of") for name, change in variants.items()}
    return [f"{n} takes over what {o} has: name both" for n, o in others.items() if o and o not in variants]


def _set(values: dict[str, Any], pairs: Sequence[str]) -> list[str]:
    """Put the values of ``pairs`` where they belong, above all that was lent; return the mistakes."""
    mistakes = []
    for pair in pairs:
        key, equals, text = pair.partition("=")
        variant, dot, argument = key.partition(".")
        if not equals:
            mistakes.append(f"--set {pair}: expected KEY=VALUE")
        elif dot and variant in values["variants"]:
            arguments = values["variants"][variant].setdefault("arguments", {})
            if isinstance(arguments, str):
                mistakes.append(f"--set {pair}: the arguments of {variant} are {arguments}")
            else:
                arguments[argument] = read_value(text)
        elif dot:
            mistakes.append(f"--set {pair}: {unknown('variant', variant, values['variants'])}")
        elif key in OWN:
            values[key] = read_value(text)
        elif key in Protocol.model_fields:
            values.setdefault("settings", {})[key] = read_value(text)
            _forget(values, key)
        else:
            valid = [*Protocol.model_fields, *OWN, "VARIANT.ARGUMENT"]
            mistakes.append(f"--set {pair}: {unknown('key', key, valid)}")
    return mistakes


def _forget(values: dict[str, Any], key: str) -> None:
    """Take a protocol value off the layers that would win over ``settings``."""
    for change in [*values["tasks"].values(), *values["models"].values()]:
        change.pop(key, None)
    for change in values["variants"].values():
        change.get("settings", {}).pop(key, None)


def write_comparison(experiment: Experiment, results: Path = RESULTS) -> Path:
    """Write the experiment's file, ``results/<name>/experiment.yaml``; return it.

    Raises:
        HarnessError: another experiment stands there (other seeds make no other one).
    """
    path = results / experiment.name / "experiment.yaml"
    if path.is_file() and _but_seeds(load_experiment(path)) != _but_seeds(experiment):
        raise HarnessError(f"{shown(path)}: another experiment stands there; move it away")
    content = experiment.model_dump(exclude_unset=True)
    write_text(path, HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return path


def _but_seeds(experiment: Experiment) -> dict[str, Any]:
    return experiment.model_dump(exclude={"seeds"})
