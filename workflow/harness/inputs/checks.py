"""From a table to rows, every value checked; an error names file and row."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import HarnessError
from harness.inputs.rows import Row, rows_hash
from harness.plan.task import Rows, Task

UNLABELLED = (-1, "-1", "", None)
"""What public files hold where the labels are kept back."""


def to_rows(task: Task, table: pd.DataFrame, source: Path | str) -> list[Row]:
    """Return the rows of a table.

    Raises:
        HarnessError: a column is missing, a text empty, a label unknown or kept back, an id given twice.
    """
    if missing := [column for column in [*task.texts, task.label] if column not in table.columns]:
        have = ", ".join(map(str, table.columns))
        raise HarnessError(f"{source}: no column {', '.join(map(repr, missing))}; the file has: {have}")
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
            raise HarnessError(f"{source}: row {number}: id {value!r} stands in row {first[value]} already")
        first[value] = number


def _texts(task: Task, values: list[Any], where: str) -> tuple[str, ...]:
    """Return the texts without blanks at their ends, where sources of a set differ (STS-B: 311 rows)."""
    if wrong := [value for value in values if not isinstance(value, str)]:
        raise HarnessError(f"{where}: expected a text, got {wrong[0]!r}")
    texts = tuple(value.strip() for value in values)
    if not all(texts) and not (task.empty_texts and any(texts)):
        raise HarnessError(f"{where}: expected a text, got {values[texts.index('')]!r}")
    return texts


def _label(task: Task, value: Any, where: str) -> int | float:
    """Return the class number, or the score, that ``value`` stands for."""
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
        return float(f"{number:.6g}")  # a source that keeps scores in float32 gives the same rows
    if value in UNLABELLED:
        raise HarnessError(f"{where}: label {value!r}: this split has no labels and cannot be used")
    raise HarnessError(f"{where}: label {value!r}: expected {expected}")


def check_rows(task: Task, part: str, rows: list[Row], stated: Rows) -> None:
    """Compare rows with what is declared or locked of them.

    Raises:
        HarnessError: another number of rows, other rows, or one class alone.
    """
    where = f"task {task.name}, split {part!r}"
    if stated.count is not None and len(rows) != stated.count:
        raise HarnessError(f"{where}: {len(rows)} rows, expected {stated.count}")
    if stated.hash is not None and (found := rows_hash(rows)) != stated.hash:
        raise HarnessError(
            f"{where}: the rows are not the declared ones (hash {found[:12]}..., "
            f"expected {stated.hash[:12]}...): the data was changed, or is another release"
        )
    if task.kind == "classification" and len({row.label for row in rows}) < 2:
        raise HarnessError(f"{where}: all rows have the same label")
