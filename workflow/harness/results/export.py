"""Export: every file that tables, figures and the report read, made from the run folders."""

from harness.plan.plan import Plan, write_plan
from harness.results.comparisons import write_comparisons
from harness.results.environment import write_environment
from harness.results.frame import RunRow, write_frame
from harness.results.statistics_file import write_statistics

EXPORTED = ("frame.parquet", "comparisons.parquet", "statistics.parquet", "environment.json")


def export(plan: Plan) -> list[RunRow]:
    """Write plan.json and every file in EXPORTED; return the rows of the frame."""
    write_plan(plan)
    rows = write_frame(plan)
    write_comparisons(plan)
    write_statistics(plan.as_file(), plan.folder)
    write_environment(plan)
    return rows
