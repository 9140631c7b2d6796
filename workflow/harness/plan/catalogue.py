"""What can be asked for by name: tasks, models, protocols and variants, one YAML file each."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from harness.errors import HarnessError, MistakesError, unknown
from harness.methods.registry import broken_methods, method_class, method_names
from harness.paths import CONFIG, shown
from harness.plan import locked
from harness.plan.model import HubModel, Model
from harness.plan.protocol import ProtocolFile
from harness.plan.strict import Strict, check
from harness.plan.task import Task
from harness.plan.yamlfile import read_yaml

Kind = TypeVar("Kind", bound=BaseModel)
Folders = tuple[Path, ...]
"""Folders with files of one's own: of tasks (they win over ``config/tasks``), or of methods."""


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


def files(folder: Path) -> dict[str, Path]:
    """Return the YAML files of a folder by name; a lock file is none of them."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml")) if path.name != locked.NAME}


def names(folder: str) -> list[str]:
    """Return the names that ``config/<folder>/*.yaml`` define."""
    return sorted(files(CONFIG / folder))


def task_files(folders: Folders = ()) -> dict[str, Path]:
    """Return every task file by name; a folder of one's own wins over ``config/tasks``.

    Raises:
        HarnessError: a folder is not there.
    """
    found = files(CONFIG / "tasks")
    for folder in reversed(folders):
        if not folder.is_dir():
            raise HarnessError(f"tasks dir {folder}: there is no such folder")
        found |= files(folder)
    return found


def lock_folder(path: Path) -> Path:
    """Return the folder whose lock file speaks of the task file ``path``."""
    return CONFIG if path.parent == CONFIG / "tasks" else path.parent


@cache
def task(name: str, folders: Folders = ()) -> Task:
    """Return the task ``name``; raises HarnessError with the valid names and the nearest."""
    known = task_files(folders)
    if name not in known:
        raise HarnessError(unknown("task", name, known))
    path = known[name]
    values, lineage = _task_values(path, known, (name,))
    found, mistakes = check(Task, values, path)
    if found is None:
        raise MistakesError(mistakes)
    found = locked.with_locked_rows(found, locked.read_locked(lock_folder(path)).tasks.get(name))
    lenders = {}
    for part in sorted({part for parts in found.parts.values() for part in parts}):
        lender = part.rpartition("/")[0]
        if lender:
            lenders[lender] = _lender(lender, folders, found, path)
    return found.named(name, lineage, lenders)


def _task_values(
    path: Path, known: Mapping[str, Path], seen: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the values of a task file over its parent's, and the parents' names, nearest first."""
    values = read_yaml(path)
    parent = values.get("parent")
    if parent is None:
        return values, ()
    if parent not in known or parent in seen:
        reason = "is its own parent" if parent in seen else unknown("task", parent, known)
        raise HarnessError(f"{shown(path)}: parent: {reason}")
    inherited, lineage = _task_values(known[parent], known, (*seen, parent))
    merged = {**inherited, **values}
    for key in ("rows", "parts"):
        if isinstance(inherited.get(key), dict) and isinstance(values.get(key), dict):
            merged[key] = {**inherited[key], **values[key]}
    return merged, (parent, *lineage)


def _lender(name: str, folders: Folders, borrower: Task, path: Path) -> Task:
    """Return a task that lends rows; its labels and texts must fit the borrower's."""
    try:
        lender = task(name, folders)
    except HarnessError as error:
        raise HarnessError(f"{shown(path)}: parts: {error}") from None
    if (lender.kind, lender.labels, len(lender.texts)) != (
        borrower.kind, borrower.labels, len(borrower.texts),
    ):  # fmt: skip
        raise HarnessError(f"{shown(path)}: parts: {name} has other labels or another number of texts")
    return lender


def _load(kind: type[Kind], word: str, folder: str, name: str) -> Kind:
    known = files(CONFIG / folder)
    if name not in known:
        raise HarnessError(unknown(word, name, known))
    found, mistakes = check(kind, read_yaml(known[name]), known[name])
    if found is None:
        raise MistakesError(mistakes)
    return found


def model_name(name: str) -> str:
    """Return a model's name as it stands in paths: ``owner/name@revision`` as ``owner--name@revision``."""
    return name.replace("/", "--")


@cache
def model(name: str) -> Model:
    """Return the model ``name``: a short name, or ``<owner>/<name>[@revision]`` of the Hub.

    Raises:
        HarnessError: an unknown short name; the valid ones and the nearest are told.
    """
    known = locked.read_locked(CONFIG).models.get(model_name(name))
    if "--" not in model_name(name):
        return locked.with_locked_files(_load(Model, "model", "models", name), known)
    repo, _, revision = model_name(name).replace("--", "/", 1).partition("@")
    hub = HubModel(repo=repo, revision=revision or "main")
    found = Model(title=repo, hub=hub, licence="see its model card", citation=f"huggingface.co/{repo}")
    return locked.with_locked_files(found, known)


@cache
def protocol(name: str) -> ProtocolFile:
    """Return the protocol ``name``; raises HarnessError with the valid names and the nearest."""
    return _load(ProtocolFile, "protocol", "protocols", name)


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


def variant_names(folders: Folders = ()) -> list[str]:
    """Return the entries, then the methods that no entry runs as they are: each is a variant too."""
    entries = variants()
    plain = {entry.method for entry in entries.values() if not entry.arguments and entry.epochs_times == 1}
    methods = [*method_names(folders), *broken_methods(folders)]
    return [*entries, *(name for name in methods if name not in plain and name not in entries)]


def variant(name: str, folders: Folders = ()) -> Variant:
    """Return the variant ``name``: an entry, or a method at its defaults.

    Raises:
        HarnessError: there is none (the valid names and the nearest are told), or its method is broken.
    """
    entries, valid = variants(), variant_names(folders)
    if name in entries:
        if name != entries[name].method and name in method_names(folders):
            raise HarnessError(f"{name!r} is a variant of {entries[name].method}, and a method: rename one")
        return entries[name]
    if name not in valid:
        raise HarnessError(unknown("variant", name, valid))
    kind = method_class(name, folders)
    return Variant(method=name, note=kind.summary, source=kind.citation)
