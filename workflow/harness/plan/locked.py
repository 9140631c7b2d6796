"""The lock file: hashes and revisions that ``fetch`` has seen, where task and model files state none.

``config/data.lock.yaml`` for what ``config/`` defines; ``data.lock.yaml`` in a folder of one's own tasks.
It is meant to be committed: a key made from it means the same rows and weights everywhere.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from harness.errors import MistakesError
from harness.plan.model import SHA256, Model
from harness.plan.strict import Strict, check
from harness.plan.task import Rows, Task
from harness.plan.yamlfile import read_yaml
from harness.runs.atomic import write_text

NAME = "data.lock.yaml"
HEAD = "# Written by `python -m harness fetch`: what was found where task and model files state nothing.\n"


class LockedTask(Strict):
    """Rows of a task as they were found."""

    revision: str | None = Field(default=None, description="commit of the Hub")
    rows: dict[str, Rows] = Field(default={}, description="count and hash of each split")


class LockedModel(Strict):
    """Files of a model as they were found."""

    revision: str | None = Field(default=None, description="commit of the Hub")
    weights_sha256: str = Field(pattern=SHA256, description="SHA-256 of model.safetensors")
    tokenizer_sha256: str = Field(pattern=SHA256, description="SHA-256 of tokenizer.json")


class Locked(Strict):
    """The whole file."""

    tasks: dict[str, LockedTask] = Field(default={}, description="by name")
    models: dict[str, LockedModel] = Field(default={}, description="by name")


def read_locked(folder: Path) -> Locked:
    """Return the lock file of ``folder``, empty if there is none; raises MistakesError."""
    path = folder / NAME
    if not path.is_file():
        return Locked()
    found, mistakes = check(Locked, read_yaml(path), path)
    if found is None:
        raise MistakesError(mistakes)
    return found


def write_locked(folder: Path, locked: Locked) -> None:
    """Write the lock file, sorted, whole or not at all."""
    content: dict[str, Any] = locked.model_dump(exclude_none=True)
    text = yaml.safe_dump({kind: dict(sorted(entries.items())) for kind, entries in content.items()})
    write_text(folder / NAME, HEAD + text)


def with_locked_rows(task: Task, locked: LockedTask | None) -> Task:
    """Return ``task`` with what the lock knows of splits whose hash its file does not state."""
    if locked is None:
        return task
    rows = dict(task.rows)
    for split, found in locked.rows.items():
        stated = rows.get(split, Rows())
        if stated.hash is None:
            rows[split] = found.model_copy(update={"subset_of": stated.subset_of})
    changes: dict[str, Any] = {"rows": rows}
    if task.hub is not None and locked.revision is not None:
        changes["hub"] = task.hub.model_copy(update={"revision": locked.revision})
    return task.model_copy(update=changes)


def with_locked_files(model: Model, locked: LockedModel | None) -> Model:
    """Return ``model`` with what the lock knows of files whose hash its own file does not state."""
    if locked is None:
        return model
    changes: dict[str, Any] = {
        key: getattr(locked, key)
        for key in ("weights_sha256", "tokenizer_sha256")
        if getattr(model, key) is None
    }
    if model.hub is not None and locked.revision is not None:
        changes["hub"] = model.hub.model_copy(update={"revision": locked.revision})
    return model.model_copy(update=changes)
