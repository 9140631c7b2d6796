"""Every table of an experiment in every form, from plan.json, the frame and the statistics alone."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.plan.tables import FORMS, TableSpec, tables_of
from harness.report.claims import Statistics
from harness.report.forms import comma_separated, latex, markdown
from harness.report.html import page
from harness.report.ledger import ledger_table
from harness.report.measured import measured_table
from harness.report.overall import across_table
from harness.report.published import published_table
from harness.report.settings import settings_table
from harness.report.table import Table
from harness.report.tested import claims_table
from harness.report.values import RunRow
from harness.runs.atomic import write_text

if TYPE_CHECKING:
    import pandas as pd

WRITERS = dict(zip(FORMS, (markdown, latex, comma_separated, page), strict=True))


def make_table(
    name: str, spec: TableSpec, plan: dict[str, Any], runs: list[RunRow], statistics: Statistics
) -> Table:
    """Return one table; ``plan`` is the content of plan.json."""
    if spec.kind == "settings":
        return settings_table(name, spec, plan)
    if spec.kind == "published":
        return published_table(name, spec, plan, runs)
    if spec.kind == "tuning":
        return ledger_table(name, spec, plan, runs)
    if spec.kind == "across":
        return across_table(name, spec, plan, runs)
    build = measured_table if spec.kind == "measured" else claims_table
    return build(name, spec, plan, runs, statistics)


def rows_of_frame(frame: "pd.DataFrame") -> list[RunRow]:
    """Return the rows of the frame, without the values that are not there; curves become lists."""
    rows = [{str(k): v for k, v in row.items() if not _absent(v)} for row in frame.to_dict("records")]
    for row in rows:
        row |= {name: list(row[name]) for name in ("curve_steps", "curve_scores")}
    return rows


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def tables(plan: dict[str, Any], runs: list[RunRow], statistics: Statistics) -> list[Table]:
    """Return every table of the plan, the main one first."""
    return [make_table(name, spec, plan, runs, statistics) for name, spec in tables_of(plan).items()]


def write_tables(made: list[Table], folder: Path) -> list[Path]:
    """Write every table in every form into ``folder``; return the files, in that order."""
    paths = []
    for table in made:
        for form, write in WRITERS.items():
            path = folder / f"{table.name}.{form}"
            write_text(path, write(table))
            paths.append(path)
    return paths
