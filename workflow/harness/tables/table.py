"""A table before it is written in a format: texts in blocks, the numbers behind them, and the notes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.config.plan_file import PlanFile
from harness.config.table import TableSpec

Numbers = Mapping[str, str | int | float | None]
"""One line of the CSV: column to value."""


@dataclass(frozen=True)
class Block:
    """Rows of one model, or of one task and model."""

    title: str
    rows: list[list[str]]
    """Texts: the name of the row, then one per column; bold between ``**``."""


@dataclass(frozen=True)
class Table:
    """One table, independent of any format."""

    name: str
    title: str
    about: str
    banner: str | None
    blocked_by: str
    """``model``, or ``task, model``."""
    head: list[str]
    blocks: list[Block]
    numbers: list[Numbers]
    """The lines of the CSV."""
    notes: list[str] = field(default_factory=list)


def new_table(
    name: str,
    spec: TableSpec,
    plan: PlanFile,
    head: list[str],
    blocks: list[Block],
    numbers: list[Numbers],
    notes: list[str],
    blocked_by: str = "model",
) -> Table:
    """Return a table with the title and banner of the plan's experiment."""
    title = f"{plan.experiment.title}: {spec.title}"
    return Table(name, title, spec.about, plan.experiment.banner, blocked_by, head, blocks, numbers, notes)
