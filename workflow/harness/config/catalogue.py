"""Look-ups by name: tasks, models and protocols (one YAML file each), variants and experiments."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from harness.config import lockfile
from harness.config.base import check
from harness.config.model import HubModel, Model
from harness.config.protocol import ProtocolFile
from harness.config.task import Task
from harness.config.variant import Variant
from harness.config.yaml_loader import read_yaml
from harness.methods.registry import broken_methods, method_class, method_names
from harness.util.errors import ConfigErrors, HarnessError, unknown
from harness.util.paths import CONFIG, display_path

Kind = TypeVar("Kind", bound=BaseModel)
Folders = tuple[Path, ...]
"""Folders with custom files: of tasks (they override ``config/tasks``), or of methods."""


def files(folder: Path) -> dict[str, Path]:
    """Return the YAML files of a folder by name, without the lock file."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml")) if path.name != lockfile.NAME}


def names(folder: str) -> list[str]:
    """Return the names that ``config/<folder>/*.yaml`` define."""
    return sorted(files(CONFIG / folder))


def task_files(folders: Folders = ()) -> dict[str, Path]:
    """Return every task file by name; a custom folder overrides ``config/tasks``.

    Raises:
        HarnessError: a folder does not exist.
    """
    paths = files(CONFIG / "tasks")
    for folder in reversed(folders):
        if not folder.is_dir():
            raise HarnessError(f"tasks dir {folder}: no such folder")
        paths |= files(folder)
    return paths


def lock_folder(path: Path) -> Path:
    """Return the folder of the lock file that covers the task file ``path``."""
    return CONFIG if path.parent == CONFIG / "tasks" else path.parent


@cache
def task(name: str, folders: Folders = ()) -> Task:
    """Return the task ``name``, with its parents' keys and its locked hashes.

    Raises:
        HarnessError: the name is unknown; the message lists the valid ones and the nearest.
        ConfigErrors: all errors of the task file.
    """
    paths = task_files(folders)
    if name not in paths:
        raise HarnessError(unknown("task", name, paths))
    path = paths[name]
    values, lineage = _task_values(path, paths, (name,))
    checked, errors = check(Task, values, path)
    if checked is None:
        raise ConfigErrors(errors)
    checked = lockfile.with_locked_rows(checked, lockfile.read_locked(lock_folder(path)).tasks.get(name))
    lenders = {part.rpartition("/")[0] for parts in checked.parts.values() for part in parts if "/" in part}
    return checked.named(name, lineage, {n: _lender(n, folders, checked, path) for n in sorted(lenders)})


def _task_values(
    path: Path, paths: Mapping[str, Path], descendants: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the values of a task file merged over its parent's, and the parents' names, nearest first."""
    values = read_yaml(path)
    parent = values.get("parent")
    if parent is None:
        return values, ()
    if parent not in paths or parent in descendants:
        reason = "is its own parent" if parent in descendants else unknown("task", parent, paths)
        raise HarnessError(f"{display_path(path)}: parent: {reason}")
    inherited, lineage = _task_values(paths[parent], paths, (*descendants, parent))
    merged = {**inherited, **values}
    for key in ("rows", "parts"):
        if isinstance(inherited.get(key), dict) and isinstance(values.get(key), dict):
            merged[key] = {**inherited[key], **values[key]}
    return merged, (parent, *lineage)


def _lender(name: str, folders: Folders, borrower: Task, path: Path) -> Task:
    """Return the task that ``borrower`` takes splits from; its labels and texts must be the same."""
    try:
        lender = task(name, folders)
    except HarnessError as error:
        raise HarnessError(f"{display_path(path)}: parts: {error}") from None
    if (lender.kind, lender.labels, len(lender.texts)) != (
        borrower.kind, borrower.labels, len(borrower.texts),
    ):  # fmt: skip
        raise HarnessError(f"{display_path(path)}: parts: {name} has other labels or another number of texts")
    return lender


def _load(kind: type[Kind], word: str, folder: str, name: str) -> Kind:
    """Return the content of ``config/<folder>/<name>.yaml``; errors call the name a ``word``."""
    paths = files(CONFIG / folder)
    if name not in paths:
        raise HarnessError(unknown(word, name, paths))
    checked, errors = check(kind, read_yaml(paths[name]), paths[name])
    if checked is None:
        raise ConfigErrors(errors)
    return checked


def model_name(name: str) -> str:
    """Return a model's name as paths use it: ``owner--name@revision`` for ``owner/name@revision``."""
    return name.replace("/", "--")


@cache
def model(name: str) -> Model:
    """Return the model ``name``: a short name, or ``<owner>/<name>[@revision]`` on the Hub.

    Raises:
        HarnessError: the short name is unknown; the message lists the valid ones and the nearest.
    """
    locked = lockfile.read_locked(CONFIG).models.get(model_name(name))
    if "--" not in model_name(name):
        return lockfile.with_locked_files(_load(Model, "model", "models", name), locked)
    repo, _, revision = model_name(name).replace("--", "/", 1).partition("@")
    hub = HubModel(repo=repo, revision=revision or "main")
    from_hub = Model(title=repo, hub=hub, licence="see its model card", citation=f"huggingface.co/{repo}")
    return lockfile.with_locked_files(from_hub, locked)


@cache
def protocol(name: str) -> ProtocolFile:
    """Return the protocol ``name``.

    Raises:
        HarnessError: the name is unknown; the message lists the valid ones and the nearest.
    """
    return _load(ProtocolFile, "protocol", "protocols", name)


@cache
def variants() -> dict[str, Variant]:
    """Return the entries of ``config/variants.yaml`` by name, with what they inherit.

    Raises:
        ConfigErrors: all errors of all entries.
    """
    path: Path = CONFIG / "variants.yaml"
    entries: dict[str, Variant] = {}
    errors: list[str] = []
    for name, values in read_yaml(path).items():
        entry, entry_errors = check(Variant, values or {}, path, name)
        errors += entry_errors
        if entry is not None:
            entries[name] = entry
    for name, entry in entries.items():
        where = f"{display_path(path)}: {name}"
        parent = entries.get(entry.parent or "")
        if entry.parent is not None and parent is None:
            errors.append(f"{where}: {unknown('variant', entry.parent, entries)}")
        elif parent is not None and entry.method:
            errors.append(f"{where}: expected a method or a parent, got both; the method is inherited")
        elif parent is not None:
            entries[name] = entry.inherit(parent)
        if not entries[name].method:
            errors.append(f"{where}.method: missing; expected a method, or a parent")
    if errors:
        raise ConfigErrors(errors)
    return entries


def variant_names(folders: Folders = ()) -> list[str]:
    """Return the names of all variants: the entries, then each method that no entry runs at its defaults."""
    entries = variants()
    plain = {entry.method for entry in entries.values() if not entry.arguments and entry.epochs_times == 1}
    methods = [*method_names(folders), *broken_methods(folders)]
    return [*entries, *(name for name in methods if name not in plain and name not in entries)]


def variant(name: str, folders: Folders = ()) -> Variant:
    """Return the variant ``name``: an entry, or a method at its defaults.

    Raises:
        HarnessError: the name is unknown (the message lists the valid ones and the nearest), is ambiguous,
            or its method cannot be used.
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


def experiment_file(name: str) -> Path:
    """Return the file of an experiment: ``name`` is its path, or its name in ``config/``.

    Raises:
        HarnessError: the file does not exist; the message lists the names in ``config/`` and the nearest.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise HarnessError(f"{path}: no such file")
        return path
    experiments = {p.stem for p in CONFIG.glob("*.yaml")} - {"variants"}
    if name not in experiments:
        raise HarnessError(unknown("experiment", name, experiments))
    return CONFIG / f"{name}.yaml"
