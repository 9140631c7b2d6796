"""Rows: the texts and labels of a split, checked row by row and identified by a content hash."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.config.task import Rows, Task
from harness.util.errors import HarnessError

UNLABELLED = (-1, "-1", "", None)
"""Placeholders for hidden labels in public files."""


@dataclass(frozen=True)
class Row:
    """One example: one or two texts, and a class number or a score."""

    texts: tuple[str, ...]
    label: int | float


def rows_hash(rows: list[Row]) -> str:
    """Return the SHA-256 of rows in their order. It does not depend on the source of the rows."""
    state = hashlib.sha256()
    for row in rows:
        state.update(json.dumps([*row.texts, row.label], ensure_ascii=False).encode() + b"\n")
    return state.hexdigest()


def content_order(rows: list[Row]) -> np.ndarray:
    """Return the row numbers sorted by a hash of the texts: a fixed shuffle, independent of any seed.

    Rows with equal texts are adjacent. Shape [rows], int64.
    """
    keys = [hashlib.sha256("\x1f".join(row.texts).encode()).hexdigest() for row in rows]
    return np.array(sorted(range(len(rows)), key=lambda i: (keys[i], i)), dtype=np.int64)


def to_rows(task: Task, table: pd.DataFrame, source: Path | str) -> list[Row]:
    """Return the rows of a table.

    Raises:
        HarnessError: a column is missing, a text empty, a label unknown or hidden, or an id repeated.
    """
    if missing := [column for column in [*task.texts, task.label] if column not in table.columns]:
        columns = ", ".join(map(str, table.columns))
        raise HarnessError(f"{source}: no column {', '.join(map(repr, missing))}; the file has: {columns}")
    if task.id is not None and task.id in table.columns:
        _check_ids(table[task.id].tolist(), source)
    return list(_rows(task, table, source))


def _rows(task: Task, table: pd.DataFrame, source: Path | str) -> Iterator[Row]:
    columns = (table[column].tolist() for column in [*task.texts, task.label])
    for number, (*texts, label) in enumerate(zip(*columns, strict=True), start=1):
        where = f"{source}: row {number}"
        yield Row(_texts(task, texts, where), _label(task, label, where))


def _check_ids(ids: list[Any], source: Path | str) -> None:
    first: dict[Any, int] = {}
    for number, value in enumerate(ids, start=1):
        if value in first:
            raise HarnessError(f"{source}: row {number}: id {value!r} is already used in row {first[value]}")
        first[value] = number


def _texts(task: Task, values: list[Any], where: str) -> tuple[str, ...]:
    """Return the stripped texts: sources of one data set differ in outer blanks (STS-B: in 311 rows)."""
    if wrong := [value for value in values if not isinstance(value, str)]:
        raise HarnessError(f"{where}: expected a text, got {wrong[0]!r}")
    texts = tuple(value.strip() for value in values)
    if not all(texts) and not (task.empty_texts and any(texts)):
        raise HarnessError(f"{where}: expected a text, got {values[texts.index('')]!r}")
    return texts


def _label(task: Task, value: Any, where: str) -> int | float:
    """Return the class number or the score that ``value`` denotes."""
    if isinstance(value, str) and value in task.labels:
        return task.labels.index(value)
    if task.kind == "classification":
        expected = f"one of {', '.join(task.labels)} or 0..{len(task.labels) - 1}"
    else:
        expected = f"a number in {task.range}"
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if task.kind == "classification" and number in range(len(task.labels)):
        return int(number)
    if task.range is not None and task.range[0] <= number <= task.range[1]:
        return float(f"{number:.6g}")  # equal for sources that store scores as float32
    if value in UNLABELLED:
        raise HarnessError(
            f"{where}: label {value!r}: the labels of this split are hidden; use a labelled split"
        )
    raise HarnessError(f"{where}: label {value!r}: expected {expected}")


def check_rows(task: Task, part: str, rows: list[Row], stated: Rows) -> None:
    """Compare rows with their declared or locked count and hash.

    Raises:
        HarnessError: the count or the hash differs, or all rows have the same class.
    """
    where = f"task {task.name}, split {part!r}"
    if stated.count is not None and len(rows) != stated.count:
        raise HarnessError(f"{where}: {len(rows)} rows, expected {stated.count}")
    if stated.hash is not None and (actual := rows_hash(rows)) != stated.hash:
        raise HarnessError(
            f"{where}: the rows are not the declared ones (hash {actual[:12]}..., "
            f"expected {stated.hash[:12]}...): the data was changed, or is another release"
        )
    if task.kind == "classification" and len({row.label for row in rows}) < 2:
        raise HarnessError(f"{where}: all rows have the same label")
