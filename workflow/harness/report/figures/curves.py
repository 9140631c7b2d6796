"""Learning curves: the score on the selection rows along training."""

from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.report.claims import Statistics
from harness.report.figures.panels import counted, panels, runs_of, variants_of
from harness.report.values import RunRow

MOST_BANDS = 6
MARKERS = 8
"""Markers along a line, more or less."""


def draw(plan: dict[str, Any], runs: list[RunRow], statistics: Statistics, path: Path) -> str:
    """Write the figure; return its caption."""
    looks, numbers = variants_of(plan), []
    banded = len(looks) <= MOST_BANDS
    with panels(path, plan) as found:
        for (task, model), axes in found.items():
            for variant, look in looks.items():
                cell = runs_of(runs, task, model, variant)
                points = by_step(cell)
                numbers.append(max(map(len, points.values()), default=0))
                steps = sorted(points)
                if not steps:
                    continue
                mean = [fmean(points[s]) for s in steps]
                axes.plot(steps, mean, **look.curve(), markevery=marked(len(steps), banded), label=variant)
                if banded:
                    low, high = [min(points[s]) for s in steps], [max(points[s]) for s in steps]
                    axes.fill_between(steps, low, high, color=look.colour, alpha=0.09, linewidth=0)
                    for edge in (low, high):
                        axes.plot(steps, edge, color=look.colour, alpha=0.35, linewidth=0.5)
            axes.set_xlim(left=0)
            axes.set_xlabel("batches")
            axes.set_ylabel(f"{plan['tasks'][task]['rank']} (%)")
    bands = "Bands: from the lowest seed to the highest." if banded else "Bands are left out for legibility."
    return (
        f"Scores on the selection rows along training; lines: mean over seeds ({counted(numbers)}). {bands}"
    )


def marked(points: int, few: bool) -> Any:
    """Return which points of a line get their marker: some, or the last alone where there are many lines."""
    return max(1, points // MARKERS) if few else [points - 1]


def by_step(cell: list[RunRow]) -> dict[int, list[float]]:
    """Return the scores in percent at each batch, of all runs that were evaluated there."""
    found: dict[int, list[float]] = defaultdict(list)
    for run in cell:
        for step, score in zip(run["curve_steps"], run["curve_scores"], strict=True):
            found[step].append(100 * score)
    return dict(found)
