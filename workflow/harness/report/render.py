"""Tables, figures and report of an experiment or a reference, from its exported files alone."""

from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import HarnessError
from harness.report.claims import Statistics
from harness.report.environment import read_environment
from harness.report.figures.figures import write_figures
from harness.report.figures.tuning import write_search_figures
from harness.report.page import write_report
from harness.report.statistics.results import statistics_path
from harness.report.tables import rows_of_frame, tables, write_tables
from harness.report.values import RunRow


def render(plan: dict[str, Any], source: Path, target: Path, digest: str | None = None) -> list[Path]:
    """Write tables, figures and report of what ``source`` holds below ``target``; return the files.

    The main table comes first, the report last; ``digest`` tells of failed runs.

    Raises:
        HarnessError: frame or statistics have not been made.
    """
    runs, statistics = read(source)
    made = tables(plan, runs, statistics)
    files = write_tables(made, target / "tables")
    figures = write_figures(plan, runs, statistics, target / "figures")
    figures += write_search_figures(source, target / "figures")
    environment = read_environment(source)
    report = write_report(plan, runs, made, figures, environment, digest, target / "report.html")
    return [*files, *figures, report]


def read(folder: Path) -> tuple[list[RunRow], Statistics]:
    """Return the rows of the frame, and the statistics by task, model, variant and reference.

    Raises:
        HarnessError: they have not been made.
    """
    paths = [folder / "frame.parquet", statistics_path(folder)]
    for path in paths:
        if not path.is_file():
            raise HarnessError(f"{path}: there is no such file; make it with: snakemake tables")
    frame, statistics = (pd.read_parquet(path) for path in paths)
    keys = ("task", "model", "variant", "reference")
    rows = [{str(key): value for key, value in row.items()} for row in statistics.to_dict("records")]
    return rows_of_frame(frame), {tuple(row[key] for key in keys): row for row in rows}
