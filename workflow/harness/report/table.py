"""A table ready to be written: texts in blocks, the numbers behind them, and what stands around."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Block:
    """Rows that share what the table is cut by."""

    title: str
    rows: list[list[str]]
    """Texts: the row's name, then one a column; bold between ``**``."""


@dataclass(frozen=True)
class Table:
    """One table, free of any form."""

    name: str
    title: str
    about: str
    banner: str | None
    cut: str
    """What a block stands for: `model`, or `task, model`."""
    head: list[str]
    blocks: list[Block]
    numbers: list[dict[str, Any]]
    """One entry a cell, as the CSV has it."""
    notes: list[str] = field(default_factory=list)
