"""Every table of an experiment in every format, from plan.json, the frame and the statistics."""

from pathlib import Path

from harness.config.plan_file import PlanFile
from harness.config.table import TableSpec
from harness.plan.outputs import TABLE_FORMS, tables_of
from harness.results.frame import RunRow
from harness.results.statistics_file import Statistics
from harness.tables.html import html
from harness.tables.kinds.across_tasks import across_tasks_table
from harness.tables.kinds.claims import claims_table
from harness.tables.kinds.hyperparameters import hyperparameters_table
from harness.tables.kinds.published import published_table
from harness.tables.kinds.scores import scores_table
from harness.tables.kinds.tuning import tuning_table
from harness.tables.table import Table
from harness.tables.writers import csv_text, latex, markdown
from harness.util.files import write_text

WRITERS = dict(zip(TABLE_FORMS, (markdown, latex, csv_text, html), strict=True))


def make_table(
    name: str, spec: TableSpec, plan: PlanFile, runs: list[RunRow], statistics: Statistics
) -> Table:
    """Return the table ``name`` of the kind that its spec states."""
    match spec.kind:
        case "scores":
            return scores_table(name, spec, plan, runs, statistics)
        case "claims":
            return claims_table(name, spec, plan, runs, statistics)
        case "across-tasks":
            return across_tasks_table(name, spec, plan, runs)
        case "published":
            return published_table(name, spec, plan, runs)
        case "tuning":
            return tuning_table(name, spec, plan, runs)
        case "hyperparameters":
            return hyperparameters_table(name, spec, plan)


def make_tables(plan: PlanFile, runs: list[RunRow], statistics: Statistics) -> list[Table]:
    """Return every table of the plan, the main one first."""
    return [make_table(name, spec, plan, runs, statistics) for name, spec in tables_of(plan).items()]


def write_tables(tables: list[Table], folder: Path) -> list[Path]:
    """Write every table in every format into ``folder``; return the paths in that order."""
    paths = []
    for table in tables:
        for form, write in WRITERS.items():
            path = folder / f"{table.name}.{form}"
            write_text(path, write(table))
            paths.append(path)
    return paths
