"""Every figure of an experiment with its caption, from plan.json, the frame and the statistics."""

from pathlib import Path

from harness.config.plan_file import PlanFile
from harness.figures.curves import draw_curves, draw_inflation
from harness.figures.passes import draw_passes
from harness.figures.seeds import draw_seeds
from harness.figures.style import write_caption
from harness.plan.outputs import FIGURE_FORMS, figures_of
from harness.results.frame import RunRow
from harness.results.statistics_file import Statistics

DRAW = {
    "seeds": draw_seeds,
    "passes": draw_passes,
    "learning-curves": draw_curves,
    "inflation": draw_inflation,
}


def write_figures(plan: PlanFile, runs: list[RunRow], statistics: Statistics, folder: Path) -> list[Path]:
    """Write each figure in every format, and its caption, into ``folder``; return the paths."""
    paths = []
    for name in figures_of(plan):
        write_caption(folder / name, DRAW[name](plan, runs, statistics, folder / name))
        paths += [folder / f"{name}.{form}" for form in FIGURE_FORMS]
    return paths
