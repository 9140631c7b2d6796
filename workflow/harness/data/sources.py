"""Sources of rows: a data root, an installed package, or data that ``fetch`` downloaded from the Hub.

If a data root is given, it takes precedence for every task with a ``data_root`` block.
"""

from dataclasses import dataclass
from pathlib import Path

from harness.config.locations import suggest
from harness.config.task import Package, Task
from harness.data.files import ENDINGS, find_file, read_file, read_package
from harness.data.rows import Row, check_rows, content_order, to_rows
from harness.util.errors import HarnessError


@dataclass(frozen=True)
class Folders:
    """Folders with data files in the layout ``<benchmark>[/<task>]/<split>.<ending>``."""

    given: Path | None
    """The data root (``--data-root``), or None."""
    fetched: Path
    """Folder of downloaded data, ``results/cache/data``."""


def load_splits(task: Task, folders: Folders) -> dict[str, list[Row]]:
    """Return the rows of the training and report splits of ``task``.

    Raises:
        HarnessError: a folder, file, column or package is missing, or a label, text, count or hash
            differs from the declared one. The message names the file and, if possible, the row.
    """
    parts = {}
    for part in task.used():
        owner, split = task.owner(part)
        parts[part] = part_rows(owner, split, folders)
        check_rows(owner, split, parts[part], task.stated(part))
    splits = [task.train, *task.report]
    return {split: [row for part in task.parts_of(split) for row in parts[part]] for split in splits}


def part_rows(task: Task, split: str, folders: Folders) -> list[Row]:
    """Return the rows of one split of one task from its source."""
    source = task.source(split, folders.given is not None)
    if source == "package":
        assert task.package is not None
        return _package_rows(task, task.package, split)
    if source == "data root":
        if folders.given is None:
            where = f"task {task.name}, split {split!r}"
            raise HarnessError(f"{where}: it is available only from a data root; add --data-root DIR")
        if not folders.given.is_dir():
            raise HarnessError(f"data root {folders.given}: no such folder")
        return _folder_rows(task, split, folders.given)
    try:
        return _folder_rows(task, split, folders.fetched)
    except HarnessError as error:
        if file_of(task, split, folders.fetched) is not None:
            raise
        command = suggest("fetch", "--task", task.name)
        raise HarnessError(
            f"task {task.name}, split {split!r}: not fetched; type {command}, "
            "or add --data-root DIR with a folder that has its files"
        ) from error


def file_of(task: Task, split: str, root: Path) -> Path | None:
    """Return the file of a split below the data root ``root``, or None."""
    assert task.data_root is not None
    return find_file(root / task.data_root.folder, task.data_root.files.get(split, split))


def _folder_rows(task: Task, split: str, root: Path) -> list[Row]:
    path = file_of(task, split, root)
    if path is None:
        assert task.data_root is not None
        stem = root / task.data_root.folder / task.data_root.files.get(split, split)
        raise HarnessError(f"task {task.name}, split {split!r}: no such file: {stem}.{{{','.join(ENDINGS)}}}")
    return to_rows(task, read_file(path), path)


def _package_rows(task: Task, package: Package, split: str) -> list[Row]:
    """Return a split of a package; ``hold_out`` takes splits from ``all``, and train has the other rows."""
    if not package.hold_out:
        return to_rows(task, *read_package(package, split))
    rows = to_rows(task, *read_package(package, "all"))
    order, start = content_order(rows), 0
    for name, count in package.hold_out.items():
        if name == split:
            return [rows[i] for i in order[start : start + count]]
        start += count
    return [rows[i] for i in order[start:]]
