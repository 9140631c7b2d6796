"""Tables, figures and report of an experiment or a reference, from its exported files."""

from pathlib import Path

from harness.config.plan_file import PlanFile
from harness.figures.build import write_figures
from harness.figures.tuning import write_study_figures
from harness.report.html_report import write_report
from harness.results.environment import read_environment
from harness.results.frame import RunRow, read_frame
from harness.results.statistics_file import Statistics, read_statistics, statistics_path
from harness.tables.build import make_tables, write_tables
from harness.util.errors import HarnessError
from harness.util.paths import display_path


def render(plan: PlanFile, source: Path, target: Path, failures: str | None = None) -> list[Path]:
    """Write tables, figures and report of the results in ``source`` below ``target``; return the paths.

    The main table comes first, the report last. ``failures`` is the text about failed runs, if any.

    Raises:
        HarnessError: the frame or the statistics are missing, or are those of another plan.
    """
    runs, statistics = read_results(source)
    if [run.run_key for run in runs] != [run.key for run in plan.runs]:
        raise HarnessError(
            f"{display_path(source / 'frame.parquet')} is not of this plan; make it again with: "
            f"harness tables {plan.file}"
        )
    tables = make_tables(plan, runs, statistics)
    paths = write_tables(tables, target / "tables")
    figures = write_figures(plan, runs, statistics, target / "figures")
    figures += write_study_figures(source, target / "figures")
    environment = read_environment(source)
    report = write_report(plan, runs, tables, figures, environment, failures, target / "report.html")
    return [*paths, *figures, report]


def read_results(folder: Path) -> tuple[list[RunRow], Statistics]:
    """Return the rows of the frame, and the statistics.

    Raises:
        HarnessError: one of them is missing.
    """
    frame = folder / "frame.parquet"
    for path in (frame, statistics_path(folder)):
        if not path.is_file():
            raise HarnessError(f"{display_path(path)}: no such file; make it with: snakemake tables")
    return read_frame(frame), read_statistics(folder)
