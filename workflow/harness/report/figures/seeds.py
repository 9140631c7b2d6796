"""Every seed a point: scores of each cell, with its mean and interval."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report.claims import Statistics
from harness.report.figures.panels import ACROSS, counted, panels, runs_of, variants_of
from harness.report.figures.style import Look, light_grid
from harness.report.statistics.group import BOOTSTRAPS
from harness.report.values import RunRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ABOVE, BELOW, BAR = -0.3, 0.1, 0.27
"""Where the seeds of a cell are laid out and its interval stands, in lanes from the middle of its own."""
LANE, AROUND = 0.19, 0.75
"""Height in inches of a lane, and of what stands around all of them."""


def draw(plan: dict[str, Any], runs: list[RunRow], statistics: Statistics, path: Path) -> str:
    """Write the figure; return its caption."""
    looks, numbers = variants_of(plan), []
    with panels(path, plan, legend=False, height=AROUND + LANE * max(4, len(looks))) as found:
        for number, ((task, model), axes) in enumerate(found.items()):
            for lane, (variant, look) in enumerate(looks.items()):
                cell = [r for r in runs_of(runs, task, model, variant) if "score" in r]
                numbers.append(len(cell))
                _points(axes, lane, cell, look)
                if row := statistics.get((task, model, variant, "")):
                    _bar(axes, lane, *(100 * row[key] for key in ("low", "estimate", "high")))
            axes.set_xlabel(f"{plan['tasks'][task]['rank']} (%)")
            axes.set_ylim(len(looks) - 0.4, -0.6)
            axes.set_yticks(range(len(looks)), list(looks))
            axes.tick_params(axis="y", length=0, labelleft=number % min(ACROSS, len(found)) == 0)
            light_grid(axes, "both")
    return (
        f"Every seed a point ({counted(numbers)} runs a cell), on the reported rows; hollow points are "
        "collapsed runs. Bars: mean and 95 % interval over seeds and examples "
        f"({BOOTSTRAPS:,} bootstrap draws); over fewer than about ten seeds it is too narrow."
    )


def _points(axes: "Axes", lane: int, cell: list[RunRow], look: Look) -> None:
    step = (BELOW - ABOVE) / max(1, len(cell))
    placed = [
        (100 * run["score"], lane + ABOVE + step * (i + 0.5), run["status"]) for i, run in enumerate(cell)
    ]
    for face in (look.colour, "none"):
        chosen = [(x, y) for x, y, status in placed if (status == "collapsed") == (face == "none")]
        if chosen:
            axes.plot(*zip(*chosen, strict=True), **look.points(), markerfacecolor=face, alpha=0.8)


def _bar(axes: "Axes", lane: int, low: float, mean: float, high: float) -> None:
    ends = [[mean - low], [high - mean]]
    axes.errorbar(mean, lane + BAR, xerr=ends, fmt="|", color="0.35", capsize=1.5, linewidth=0.9)
