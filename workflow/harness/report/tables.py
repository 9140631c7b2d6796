"""Every table of an experiment in every form, from plan.json and the frame alone."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.plan.tables import FORMS, TableSpec, tables_of
from harness.report.forms import comma_separated, latex, markdown
from harness.report.html import page
from harness.report.ledger import ledger_table
from harness.report.measured import measured_table
from harness.report.published import published_table
from harness.report.settings import settings_table
from harness.report.table import Table
from harness.report.values import RunRow
from harness.runs.atomic import write_text

if TYPE_CHECKING:
    import pandas as pd

WRITERS = dict(zip(FORMS, (markdown, latex, comma_separated, page), strict=True))


def make_table(name: str, spec: TableSpec, plan: dict[str, Any], runs: list[RunRow]) -> Table:
    """Return one table; ``plan`` is the content of plan.json."""
    if spec.kind == "settings":
        return settings_table(name, spec, plan)
    if spec.kind == "tuning":
        return ledger_table(name, spec, plan, runs)
    build = measured_table if spec.kind == "measured" else published_table
    return build(name, spec, plan, runs)


def rows_of_frame(frame: "pd.DataFrame") -> list[RunRow]:
    """Return the rows of the frame, without the values that are not there; curves become lists."""
    rows = [{str(k): v for k, v in row.items() if not _absent(v)} for row in frame.to_dict("records")]
    for row in rows:
        row |= {name: list(row[name]) for name in ("curve_steps", "curve_scores")}
    return rows


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def write_tables(plan: dict[str, Any], frame: "pd.DataFrame", folder: Path) -> list[Path]:
    """Write every table in every form into ``folder``; return the files, the main table's first."""
    runs = rows_of_frame(frame)
    paths = []
    for name, spec in tables_of(plan).items():
        table = make_table(name, spec, plan, runs)
        for form, write in WRITERS.items():
            path = folder / f"{name}.{form}"
            write_text(path, write(table))
            paths.append(path)
    return paths
