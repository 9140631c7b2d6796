"""``fetch``: download what an experiment needs, verify it, and lock the hashes that no file states."""

import logging
import shutil
from pathlib import Path

from harness.config import catalogue
from harness.config.lockfile import LockedModel, LockedTask, is_outdated, read_locked, write_locked
from harness.config.model import Model
from harness.config.task import Rows, Task
from harness.data.hub import HubSource
from harness.data.pretrained import (
    TOKENIZER,
    WEIGHTS,
    model_folder,
    settings_digest,
    verify,
    verify_settings,
)
from harness.data.rows import check_rows, rows_hash, to_rows
from harness.data.sources import Folders, file_of, part_rows
from harness.util.files import complete_file, complete_folder
from harness.util.hashing import file_digest

log = logging.getLogger(__name__)


def fetch_task(task: Task, task_folders: catalogue.Folders, folders: Folders, hub: HubSource) -> None:
    """Download the rows of ``task`` where needed, verify them, and lock the hashes that no file states.

    ``task_folders`` are the folders with custom task files. Each of them has a lock file.

    Raises:
        HarnessError: the rows cannot be read, or are not the declared or locked ones.
    """
    parts: dict[str, list[str]] = {}
    owners: dict[str, Task] = {}
    for part in task.used():
        owner, split = task.owner(part)
        owners[owner.name] = owner
        parts.setdefault(owner.name, []).append(split)
    files = catalogue.task_files(task_folders)
    for name, splits in parts.items():
        _fetch_splits(owners[name], splits, catalogue.lock_folder(files[name]), folders, hub)


def _fetch_splits(task: Task, splits: list[str], lock_folder: Path, folders: Folders, hub: HubSource) -> None:
    sources = {split: task.source(split, folders.given is not None) for split in splits}
    locked = read_locked(lock_folder)
    entry = locked.tasks.get(task.name, LockedTask())
    outdated = task.hub is not None and is_outdated(entry, task.hub.revision)
    entry = LockedTask() if outdated else entry
    from_hub = [split for split in splits if sources[split] == "Hub"]
    absent = [s for s in from_hub if outdated or file_of(task, s, folders.fetched) is None]
    commit = None
    if absent:
        assert task.hub is not None
        commit = hub.commit(task.hub.path, task.hub.revision, "dataset")
        for split in absent:
            _download(task, split, folders.fetched, hub, commit)
    identities = {}
    for split in splits:
        rows = part_rows(task, split, folders)
        check_rows(task, split, rows, task.stated(split))
        identities[split] = Rows(count=len(rows), hash=rows_hash(rows))
        log.info("task %s, %s: %d rows from the %s", task.name, split, len(rows), sources[split])
    new = {split: rows for split, rows in identities.items() if task.stated(split).hash is None}
    if new:
        changed = LockedTask(
            requested=entry.requested or (task.hub.revision if from_hub and task.hub else None),
            revision=commit or entry.revision,
            rows={**entry.rows, **new},
        )
        write_locked(lock_folder, locked.model_copy(update={"tasks": {**locked.tasks, task.name: changed}}))
        log.info("task %s: locked %s", task.name, ", ".join(new))


def _download(task: Task, split: str, root: Path, hub: HubSource, commit: str | None) -> None:
    """Write one split below ``root`` in the layout of a data root, atomically."""
    assert task.hub is not None and task.data_root is not None
    table = hub.table(task.hub, task, split, commit)
    to_rows(task, table, f"{task.hub.path}, split {split!r}")  # reject a wrong row before it is stored
    path = root / task.data_root.folder / f"{task.data_root.files.get(split, split)}.parquet"
    with complete_file(path) as temporary:
        table.to_parquet(temporary, index=False)


def fetch_model(name: str, model: Model, fetched: Path, lock_folder: Path, hub: HubSource) -> None:
    """Download weights and tokenizer where needed, verify them, and lock the hashes that no file states.

    Raises:
        HarnessError: the files cannot be read, or are not the declared or locked ones.
    """
    locked = read_locked(lock_folder)
    entry = locked.models.get(name)
    if entry is not None and model.hub is not None and is_outdated(entry, model.hub.revision):
        entry = None
    commit = entry.revision if entry else None
    if model.hub is not None and (not (fetched / name).is_dir() or (entry is None and name in locked.models)):
        commit = hub.commit(model.hub.repo, model.hub.revision, "model")
        _download_model(model, commit, fetched / name, hub)
    folder = model_folder(name, model, fetched)
    _verify_stated(folder, model)
    log.info("model %s: %s", name, "from its package" if model.package else "fetched")
    if not model.known:
        requested = entry.requested if entry else model.hub.revision if model.hub else None
        found = LockedModel(
            requested=requested,
            revision=commit,
            weights_sha256=file_digest(folder / WEIGHTS),
            tokenizer_sha256=file_digest(folder / TOKENIZER),
            configuration_sha256=settings_digest(folder),
        )
        write_locked(lock_folder, locked.model_copy(update={"models": {**locked.models, name: found}}))
        log.info("model %s: locked %s, %s and settings", name, WEIGHTS, TOKENIZER)


def _verify_stated(folder: Path, model: Model) -> None:
    """Compare the files with the hashes that the model file or the lock file states."""
    if model.weights_sha256 is not None:
        verify(folder / WEIGHTS, model.weights_sha256)
    if model.tokenizer_sha256 is not None:
        verify(folder / TOKENIZER, model.tokenizer_sha256)
    if model.configuration_sha256 is not None:
        verify_settings(folder, model)


def _download_model(model: Model, commit: str | None, folder: Path, hub: HubSource) -> None:
    assert model.hub is not None
    with complete_folder(folder) as building:
        hub.model_files(model.hub, commit, building)
        if not (building / TOKENIZER).is_file():  # older repositories hold only the vocabulary
            from transformers import AutoTokenizer

            AutoTokenizer.from_pretrained(building, local_files_only=True).save_pretrained(building)
        if folder.exists():  # of another revision
            shutil.rmtree(folder)
