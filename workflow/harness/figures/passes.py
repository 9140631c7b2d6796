"""The score against training cost."""

from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from harness.config.plan_file import PlanFile
from harness.figures.panels import count_text, panels, runs_of, styles_of
from harness.figures.style import Style
from harness.results.frame import RunRow
from harness.results.statistics_file import DEFAULT, Statistics, StatisticsRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COST = "cost.forward_equivalents"
Point = tuple[float, float]
"""Mean cost and mean score of a cell."""


def draw_passes(plan: PlanFile, runs: list[RunRow], statistics: Statistics, path: Path) -> str:
    """Draw the figure; return its caption."""
    styles, counts = styles_of(plan), []
    unit = "a vanilla run" if DEFAULT in styles else "forward passes of one example"
    with panels(path, plan) as all_axes:
        for (task, model), axes in all_axes.items():
            base = _vanilla_cost(runs_of(runs, task, model, DEFAULT)) or 1.0
            means: list[Point] = []
            for variant, style in styles.items():
                values = [
                    (r.values[COST], r.score)
                    for r in runs_of(runs, task, model, variant)
                    if r.score is not None and COST in r.values
                ]
                counts.append(len(values))
                if values:
                    cost, score = (fmean(numbers) for numbers in zip(*values, strict=True))
                    means.append((cost / base, 100 * score))
                    _point(axes, means[-1], statistics.get((task, model, variant, "")), style, variant)
            _front(axes, means)
            axes.set_ylabel(f"{plan.tasks[task].primary_metric} (%)")
            axes.set_xlabel(f"training cost ({'× vanilla' if base != 1.0 else 'forward equivalents'})")
            _scale(axes, means)
    return (
        f"Score on the report split against training cost, in units of {unit} (every pass counts its "
        "examples; a backward pass counts two forward passes, one to the perturbation only counts one); "
        f"{count_text(counts)} runs per point. Bars: 95 % intervals over seeds and examples. Dashed: best "
        "mean score for a cost."
    )


def _vanilla_cost(runs: list[RunRow]) -> float | None:
    costs = [run.values[COST] for run in runs if COST in run.values]
    return fmean(costs) if costs else None


def _point(axes: "Axes", point: Point, row: StatisticsRow | None, style: Style, variant: str) -> None:
    x, y = point
    if row is not None:
        axes.plot([x, x], [100 * row.low, 100 * row.high], color=style.colour, linewidth=0.8)
    axes.plot(x, y, **style.points(), label=variant)


def _front(axes: "Axes", means: list[Point]) -> None:
    """Draw the steps between the points that no cheaper point exceeds."""
    best: list[Point] = []
    for x, y in sorted(means, key=lambda point: (point[0], -point[1])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    if len(best) > 1:
        xs, ys = zip(*best, strict=True)
        axes.step(xs, ys, where="post", color="0.6", linestyle="--", linewidth=0.8, zorder=0)


def _scale(axes: "Axes", means: list[Point]) -> None:
    """Set a logarithmic axis with plain numbers, because costs differ by factors."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if not means:
        return
    xs = [x for x, _ in means]
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(xs) / 1.3, max(xs) * 1.3)
    axes.xaxis.set_major_locator(LogLocator(base=2, numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())
