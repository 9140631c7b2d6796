"""The option ``--set KEY=VALUE``: changes of an experiment from the command line.

A key is a protocol key, a key of the experiment that sets how runs are computed, or ``VARIANT.ARGUMENT``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.config import catalogue
from harness.config.base import check
from harness.config.experiment import COMPUTING, Experiment
from harness.config.protocol import Protocol, merged
from harness.config.yaml_loader import read_value
from harness.methods.registry import method_class
from harness.plan.resolve import build_method
from harness.util.errors import ConfigErrors, HarnessError, unknown

EXPERIMENT_KEYS = ("protocol", "threads", *COMPUTING)
ANY_ARGUMENT = "VARIANT.ARGUMENT"


def parse_pair(pair: str) -> tuple[str, Any]:
    """Return key and value of ``KEY=VALUE``.

    Raises:
        HarnessError: the equals sign is missing, or the value is not YAML.
    """
    key, equals, text = pair.partition("=")
    if not (key and equals):
        raise HarnessError("expected KEY=VALUE")
    return key, read_value(text)


def with_overrides(
    experiment: Experiment, pairs: Sequence[str], variant: str | None = None
) -> tuple[Experiment, list[str]]:
    """Return ``experiment`` with the values of ``pairs``, and one line for each error.

    The values override all other sources of the same keys. If only ``variant`` is run, other variants cannot
    be changed, and its name may be left out: ``ARGUMENT=VALUE``.
    """
    settings: dict[str, Any] = {}
    computing: dict[str, Any] = {}
    arguments: dict[str, dict[str, Any]] = {}
    errors = []
    for pair in pairs:
        try:
            key, value = parse_pair(pair)
            owner, name = _owner(experiment, key, variant)
            if owner is not None:
                arguments.setdefault(owner, {})[name] = value
            else:
                (settings if name in Protocol.model_fields else computing)[name] = value
        except HarnessError as error:
            errors.append(f"--set {pair}: {error}")
    changed, computing_errors = _with_computing(experiment, computing)
    changed = _with_arguments(_with_settings(changed, settings), arguments)
    return changed, [*errors, *computing_errors, *_value_errors(changed, settings, arguments)]


def _owner(experiment: Experiment, key: str, variant: str | None) -> tuple[str | None, str]:
    """Return the variant that the argument ``key`` belongs to and its name, or None and another key.

    Raises:
        HarnessError: the variant or the key is unknown, or the variant's arguments cannot be set.
    """
    owner, dot, name = key.partition(".")
    own = list(_arguments(experiment, variant)) if variant and not dot else []
    if not dot and key not in own:
        valid = [*Protocol.model_fields, *EXPERIMENT_KEYS]
        if key not in valid:
            raise HarnessError(unknown("key", key, [*valid, *own, ANY_ARGUMENT]))
        return None, key
    owner, name = (owner, name) if dot else (variant or "", key)
    variants = [variant] if variant else list(experiment.variants)
    if owner not in variants:
        raise HarnessError(unknown("variant", owner, variants))
    if isinstance(source := experiment.variants[owner].arguments, str):
        raise HarnessError(f"{owner} has arguments: {source}; single arguments cannot be set beside it")
    return owner, name


def _arguments(experiment: Experiment, variant: str) -> Mapping[str, Any]:
    """Return the arguments of a variant's method by name."""
    folders = experiment.method_folders()
    method = catalogue.variant(experiment.base(variant), folders).method
    return method_class(method, folders).Arguments.model_fields


def _with_computing(experiment: Experiment, values: Mapping[str, Any]) -> tuple[Experiment, list[str]]:
    changed, errors = check(Experiment, {**experiment.model_dump(exclude_unset=True), **values}, "--set")
    return changed or experiment, errors


def _with_settings(experiment: Experiment, settings: Mapping[str, Any]) -> Experiment:
    """Return ``experiment`` with protocol values for all runs; sources that override them lose these keys."""

    def remaining(values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if key not in settings}

    if not settings:
        return experiment
    return experiment.model_copy(
        update={
            "settings": merged(experiment.settings, settings),
            "tasks": {name: remaining(values) for name, values in experiment.tasks.items()},
            "models": {name: remaining(values) for name, values in experiment.models.items()},
            "variants": {
                name: change.model_copy(update={"settings": remaining(change.settings)})
                if change.settings
                else change
                for name, change in experiment.variants.items()
            },
        }
    )


def _with_arguments(experiment: Experiment, arguments: Mapping[str, Mapping[str, Any]]) -> Experiment:
    variants = dict(experiment.variants)
    for name, values in arguments.items():
        present = variants[name].arguments
        assert isinstance(present, dict)
        variants[name] = variants[name].model_copy(update={"arguments": {**present, **values}})
    return experiment.model_copy(update={"variants": variants})


def _value_errors(
    experiment: Experiment, settings: Mapping[str, Any], arguments: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return the errors of values that the protocol or the methods do not accept."""
    errors: list[str] = []
    if settings and experiment.protocol in catalogue.names("protocols"):
        base = catalogue.protocol(experiment.protocol).base()
        errors += check(Protocol, {**base, **experiment.settings}, "--set")[1]
    for variant in arguments:
        try:
            build_method(experiment, variant, "--set")
        except ConfigErrors as error:
            errors += error.errors
        except HarnessError as error:
            errors.append(f"--set: {error}")
    return errors
