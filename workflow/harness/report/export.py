"""Export: MLflow and all files that tables, figures and the report read, in line with the run folders."""

import pandas as pd

from harness.plan.plan import Plan, write_plan
from harness.report.comparisons import write_comparisons
from harness.report.environment import write_environment
from harness.report.frame import write_frame
from harness.report.mirror import mirror
from harness.report.statistics.results import write_statistics

EXPORTED = ("frame.parquet", "comparisons.parquet", "statistics.parquet", "environment.json")


def export(plan: Plan) -> tuple[dict[str, int], pd.DataFrame]:
    """Write plan.json and everything in EXPORTED; return what the mirror did, and the frame."""
    write_plan(plan)
    counts = mirror(plan.results, plan.experiment.name)
    frame = write_frame(plan)
    write_comparisons(plan)
    write_statistics(plan.as_json(), plan.folder)
    write_environment(plan)
    return counts, frame
