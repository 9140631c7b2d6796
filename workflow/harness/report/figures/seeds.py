"""Every seed a point: scores of each cell, with its mean and interval."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report.claims import Statistics
from harness.report.figures.panels import counted, panels, runs_of, variants_of
from harness.report.figures.style import Look
from harness.report.statistics.group import BOOTSTRAPS
from harness.report.values import RunRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEFT, RIGHT, BAR = -0.32, 0.12, 0.26
"""Where the seeds of a cell are laid out, and where its interval stands, in cells from its middle."""
SLANTED, UPRIGHT = 4, 9
"""Numbers of variants from which their names are turned."""


def draw(plan: dict[str, Any], runs: list[RunRow], statistics: Statistics, path: Path) -> str:
    """Write the figure; return its caption."""
    looks, numbers = variants_of(plan), []
    with panels(path, plan, legend=False) as found:
        for (task, model), axes in found.items():
            for place, (variant, look) in enumerate(looks.items()):
                cell = [r for r in runs_of(runs, task, model, variant) if "score" in r]
                numbers.append(len(cell))
                _points(axes, place, cell, look)
                if row := statistics.get((task, model, variant, "")):
                    _bar(axes, place, *(100 * row[key] for key in ("low", "estimate", "high")))
            axes.set_ylabel(f"{plan['tasks'][task]['rank']} (%)")
            _names(axes, list(looks))
    return (
        f"Every seed a point ({counted(numbers)} runs a cell), on the reported rows; hollow points are "
        "collapsed runs. Bars: mean and 95 % interval over seeds and examples "
        f"({BOOTSTRAPS:,} bootstrap draws); over fewer than about ten seeds it is too narrow."
    )


def _points(axes: "Axes", place: int, cell: list[RunRow], look: Look) -> None:
    for i, run in enumerate(cell):
        x = place + LEFT + (RIGHT - LEFT) * (i + 0.5) / len(cell)
        face = "none" if run["status"] == "collapsed" else look.colour
        axes.plot(x, 100 * run["score"], **look.points(), markerfacecolor=face, alpha=0.8)


def _bar(axes: "Axes", place: int, low: float, mean: float, high: float) -> None:
    ends = [[mean - low], [high - mean]]
    axes.errorbar(place + BAR, mean, ends, fmt="_", color="0.35", capsize=2, linewidth=0.9)


def _names(axes: "Axes", variants: list[str]) -> None:
    axes.set_xticks(range(len(variants)), variants)
    axes.set_xlim(-0.6, len(variants) - 0.4)
    if len(variants) >= UPRIGHT:
        axes.tick_params(axis="x", rotation=90)
    elif len(variants) >= SLANTED:
        axes.set_xticklabels(variants, rotation=30, ha="right")
