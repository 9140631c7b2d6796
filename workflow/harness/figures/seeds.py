"""The score of every seed, with mean and interval of each cell."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.config.plan_file import PlanFile
from harness.figures.panels import ACROSS, count_text, panels, runs_of, styles_of
from harness.figures.style import Style, light_grid
from harness.results.frame import RunRow
from harness.results.statistics_file import Statistics
from harness.statistics.group import BOOTSTRAPS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ABOVE, BELOW, BAR = -0.3, 0.1, 0.27
"""Positions in a lane, in lanes from its middle: range of the seeds, and the interval."""
LANE, AROUND = 0.19, 0.75
"""Height in inches of a lane, and of everything around the lanes."""


def draw_seeds(plan: PlanFile, runs: list[RunRow], statistics: Statistics, path: Path) -> str:
    """Draw the figure; return its caption."""
    styles, counts = styles_of(plan), []
    with panels(path, plan, legend=False, height=AROUND + LANE * max(4, len(styles))) as all_axes:
        for number, ((task, model), axes) in enumerate(all_axes.items()):
            for lane, (variant, style) in enumerate(styles.items()):
                scored = [r for r in runs_of(runs, task, model, variant) if r.score is not None]
                counts.append(len(scored))
                _points(axes, lane, scored, style)
                if row := statistics.get((task, model, variant, "")):
                    _bar(axes, lane, 100 * row.low, 100 * row.estimate, 100 * row.high)
            axes.set_xlabel(f"{plan.tasks[task].primary_metric} (%)")
            axes.set_ylim(len(styles) - 0.4, -0.6)
            axes.set_yticks(range(len(styles)), list(styles))
            axes.tick_params(axis="y", length=0, labelleft=number % min(ACROSS, len(all_axes)) == 0)
            light_grid(axes, "both")
    return (
        f"Score of every seed on the report split ({count_text(counts)} runs per cell); hollow points are "
        "collapsed runs. Bars: mean and 95 % interval over seeds and examples "
        f"({BOOTSTRAPS:,} resamples); with fewer than about five seeds it is too narrow."
    )


def _points(axes: "Axes", lane: int, runs: list[RunRow], style: Style) -> None:
    step = (BELOW - ABOVE) / max(1, len(runs))
    points = [
        (100 * run.score, lane + ABOVE + step * (i + 0.5), run.status)
        for i, run in enumerate(runs)
        if run.score is not None
    ]
    for face in (style.colour, "none"):
        selected = [(x, y) for x, y, status in points if (status == "collapsed") == (face == "none")]
        if selected:
            axes.plot(*zip(*selected, strict=True), **style.points(), markerfacecolor=face, alpha=0.8)


def _bar(axes: "Axes", lane: int, low: float, mean: float, high: float) -> None:
    ends = [[mean - low], [high - mean]]
    axes.errorbar(mean, lane + BAR, xerr=ends, fmt="|", color="0.35", capsize=1.5, linewidth=0.9)
