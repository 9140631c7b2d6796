"""Rows: the texts and labels of a split, checked, and identified by their content."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Row:
    """One example: one or two texts, and a class number or a score."""

    texts: tuple[str, ...]
    label: int | float


def rows_hash(rows: list[Row]) -> str:
    """Return the SHA-256 of rows in order; the same rows give the same hash from every source."""
    state = hashlib.sha256()
    for row in rows:
        state.update(json.dumps([*row.texts, row.label], ensure_ascii=False).encode() + b"\n")
    return state.hexdigest()


def content_order(rows: list[Row]) -> np.ndarray:
    """Return row numbers ordered by a hash of the texts: a fixed shuffle that no seed changes.

    Equal texts stand together.
    """
    keys = [hashlib.sha256("\x1f".join(row.texts).encode()).hexdigest() for row in rows]
    return np.array(sorted(range(len(rows)), key=lambda i: (keys[i], i)), dtype=np.int64)
