"""Every figure of an experiment with its caption, from plan.json, the frame and the statistics alone."""

from pathlib import Path
from typing import Any

from harness.plan.figures import FORMS, figures_of
from harness.report.claims import Statistics
from harness.report.figures import curves, inflation, passes, seeds
from harness.report.figures.style import write_caption
from harness.report.values import RunRow

DRAW = {
    "seeds": seeds.draw,
    "passes": passes.draw,
    "learning-curves": curves.draw,
    "inflation": inflation.draw,
}


def write_figures(
    plan: dict[str, Any], runs: list[RunRow], statistics: Statistics, folder: Path
) -> list[Path]:
    """Write each figure as PNG and PDF into ``folder``, its caption as text; return the files."""
    paths = []
    for name in figures_of(plan):
        write_caption(folder / name, DRAW[name](plan, runs, statistics, folder / name))
        paths += [folder / f"{name}.{form}" for form in FORMS]
    return paths
