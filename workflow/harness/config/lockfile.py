"""The lock file: hashes and revisions of fetched files for which task and model files state none.

``config/data.lock.yaml`` covers ``config/``; a folder of custom tasks has its own ``data.lock.yaml``. Commit
the lock file, so that a run key refers to the same rows and weights everywhere.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from harness.config.base import Strict, check
from harness.config.model import SHA256, Model
from harness.config.task import Rows, Task
from harness.config.yaml_loader import read_yaml
from harness.util.errors import ConfigErrors
from harness.util.files import write_text

NAME = "data.lock.yaml"
HASHES = ("weights_sha256", "tokenizer_sha256", "configuration_sha256")
HEAD = "# Written by `harness fetch`: hashes and revisions that task and model files do not state.\n"


class LockedTask(Strict):
    """Fetched rows of a task."""

    requested: str | None = Field(default=None, description="revision in the task file")
    revision: str | None = Field(default=None, description="commit on the Hub that it was")
    rows: dict[str, Rows] = Field(default={}, description="count and hash of each split")


class LockedModel(Strict):
    """Fetched files of a model."""

    requested: str | None = Field(default=None, description="revision in the model file")
    revision: str | None = Field(default=None, description="commit on the Hub that it was")
    weights_sha256: str = Field(pattern=SHA256, description="SHA-256 of model.safetensors")
    tokenizer_sha256: str = Field(pattern=SHA256, description="SHA-256 of tokenizer.json")
    configuration_sha256: str | None = Field(
        default=None, pattern=SHA256, description="hash of config.json and of the tokenizer's settings"
    )


class Locked(Strict):
    """The content of a lock file."""

    tasks: dict[str, LockedTask] = Field(default={}, description="locked tasks, by name")
    models: dict[str, LockedModel] = Field(default={}, description="locked models, by name")


def read_locked(folder: Path) -> Locked:
    """Return the content of the lock file of ``folder``, empty if there is none.

    Raises:
        HarnessError: the file cannot be read, or is not a lock file.
    """
    path = folder / NAME
    if not path.is_file():
        return Locked()
    locked, errors = check(Locked, read_yaml(path), path)
    if locked is None:
        raise ConfigErrors(errors)
    return locked


def write_locked(folder: Path, locked: Locked) -> None:
    """Write the lock file atomically, its entries sorted by name."""
    content: dict[str, Any] = locked.model_dump(exclude_none=True)
    text = yaml.safe_dump({kind: dict(sorted(entries.items())) for kind, entries in content.items()})
    write_text(folder / NAME, HEAD + text)


def add_missing(folder: Path, locked: Locked) -> None:
    """Add the entries that the lock file of ``folder`` does not have; those that it has stay."""
    ours = read_locked(folder)
    merged = Locked(
        tasks={**locked.tasks, **ours.tasks},
        models={**locked.models, **ours.models},
    )
    if merged != ours:
        write_locked(folder, merged)


def is_outdated(locked: LockedTask | LockedModel, revision: str) -> bool:
    """Return whether the entry is of another revision than the one that the task or model file requests."""
    return locked.requested is not None and revision not in (locked.requested, locked.revision)


def with_locked_rows(task: Task, locked: LockedTask | None) -> Task:
    """Return ``task`` with the locked counts and hashes of the splits whose hash its file does not state."""
    if locked is None or (task.hub is not None and is_outdated(locked, task.hub.revision)):
        return task
    rows = dict(task.rows)
    for split, locked_rows in locked.rows.items():
        stated = rows.get(split, Rows())
        if stated.hash is None:
            rows[split] = locked_rows.model_copy(update={"subset_of": stated.subset_of})
    changes: dict[str, Any] = {"rows": rows}
    if task.hub is not None and locked.revision is not None:
        changes["hub"] = task.hub.model_copy(update={"revision": locked.revision})
    return task.model_copy(update=changes)


def with_locked_files(model: Model, locked: LockedModel | None) -> Model:
    """Return ``model`` with the locked hashes of the files whose hash its model file does not state."""
    if locked is None or (model.hub is not None and is_outdated(locked, model.hub.revision)):
        return model
    changes: dict[str, Any] = {key: getattr(locked, key) for key in HASHES if getattr(model, key) is None}
    if model.hub is not None and locked.revision is not None:
        changes["hub"] = model.hub.model_copy(update={"revision": locked.revision})
    return model.model_copy(update=changes)
