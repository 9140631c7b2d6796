"""What can be asked for by name: tasks, models, protocols and variants, one YAML file each."""

from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from harness.errors import HarnessError, MistakesError, unknown
from harness.paths import CONFIG, shown
from harness.plan.model import Model
from harness.plan.protocol import Protocol
from harness.plan.strict import Strict, check
from harness.plan.task import Task
from harness.plan.yamlfile import read_yaml

Kind = TypeVar("Kind", bound=BaseModel)


class Variant(Strict):
    """A method with some arguments fixed: one entry of ``config/variants.yaml``.

    With a parent it takes over the parent's method and arguments and changes those that it names.
    """

    method: str = Field(default="", description="name of a method; the parent's where there is one")
    parent: str | None = Field(default=None, description="variant that this one differs from")
    arguments: dict[str, Any] = Field(default={}, description="arguments that differ from parent or defaults")
    epochs_times: int = Field(default=1, ge=1, description="factor on the protocol's epochs (equal compute)")
    note: str = Field(description="one sentence for tables")
    source: str = Field(description="paper section or released file that it follows")


def names(folder: str) -> list[str]:
    """Return the names that ``config/<folder>/*.yaml`` define."""
    return sorted(path.stem for path in (CONFIG / folder).glob("*.yaml"))


def _load(kind: type[Kind], word: str, folder: str, name: str) -> Kind:
    if name not in names(folder):
        raise HarnessError(unknown(word, name, names(folder)))
    path = CONFIG / folder / f"{name}.yaml"
    found, mistakes = check(kind, read_yaml(path), path)
    if found is None:
        raise MistakesError(mistakes)
    return found


@cache
def task(name: str) -> Task:
    """Return the task ``name``; raises HarnessError with the valid names and the nearest."""
    return _load(Task, "task", "tasks", name)


@cache
def model(name: str) -> Model:
    """Return the model ``name``; raises HarnessError with the valid names and the nearest."""
    return _load(Model, "model", "models", name)


@cache
def protocol(name: str) -> Protocol:
    """Return the protocol ``name``; raises HarnessError with the valid names and the nearest."""
    return _load(Protocol, "protocol", "protocols", name)


@cache
def variants() -> dict[str, Variant]:
    """Return every variant; raises MistakesError naming each wrong entry."""
    path: Path = CONFIG / "variants.yaml"
    found: dict[str, Variant] = {}
    mistakes: list[str] = []
    for name, values in read_yaml(path).items():
        entry, wrong = check(Variant, values or {}, path, name)
        mistakes += wrong
        if entry is not None:
            found[name] = entry
    for name, entry in found.items():
        if entry.parent is not None:
            found[name], wrong = _with_parent(found, entry, f"{shown(path)}: {name}")
            mistakes += wrong
        if not found[name].method:
            mistakes.append(f"{shown(path)}: {name}.method: missing; expected a method, or a parent")
    if mistakes:
        raise MistakesError(mistakes)
    return found


def _with_parent(found: dict[str, Variant], entry: Variant, where: str) -> tuple[Variant, list[str]]:
    """Return ``entry`` with what it takes over from its parent, which stands above it in the file."""
    parent = found.get(entry.parent or "")
    if parent is None or entry.method:
        reason = "the parent's method is taken over" if parent else unknown("variant", entry.parent, found)
        return entry, [f"{where}: {reason}"]
    return entry.model_copy(
        update={"method": parent.method, "arguments": {**parent.arguments, **entry.arguments}}
    ), []


def variant(name: str) -> Variant:
    """Return the variant ``name``; raises HarnessError with the valid names and the nearest."""
    if name not in variants():
        raise HarnessError(unknown("variant", name, variants()))
    return variants()[name]
