"""Score against passes: what a better score costs."""

from pathlib import Path
from statistics import fmean
from typing import Any

from harness.report.claims import Statistics
from harness.report.figures.panels import counted, panels, runs_of, variants_of
from harness.report.statistics.results import DEFAULT
from harness.report.values import RunRow

COST = "cost.forward_equivalents"


def draw(plan: dict[str, Any], runs: list[RunRow], statistics: Statistics, path: Path) -> str:
    """Write the figure; return its caption."""
    looks, numbers = variants_of(plan), []
    unit = "a vanilla run" if DEFAULT in looks else "forward passes"
    with panels(path, plan) as found:
        for (task, model), axes in found.items():
            base = _mean(runs_of(runs, task, model, DEFAULT), COST) or 1.0
            means = []
            for variant, look in looks.items():
                cell = [r for r in runs_of(runs, task, model, variant) if "score" in r and COST in r]
                numbers.append(len(cell))
                if cell:
                    means.append((_known(cell, COST) / base, 100 * _known(cell, "score")))
                    _point(axes, means[-1], statistics.get((task, model, variant, "")), look, variant)
            _front(axes, means)
            axes.set_ylabel(f"{plan['tasks'][task]['rank']} (%)")
            axes.set_xlabel(f"training passes ({'× vanilla' if base != 1.0 else 'forward passes'})")
            _scale(axes, means)
    return (
        f"Score on the reported rows against the passes of training, in units of {unit} (a backward pass "
        "counts two forward passes, one to the perturbation alone counts one); "
        f"{counted(numbers)} runs a point. Bars: 95 % intervals over seeds and examples. Dashed: the best "
        "mean score for a cost."
    )


def _mean(cell: list[RunRow], key: str) -> float | None:
    known = [run[key] for run in cell if key in run]
    return fmean(known) if known else None


def _known(cell: list[RunRow], key: str) -> float:
    return fmean(run[key] for run in cell)


def _point(axes: Any, where: tuple[float, float], row: Any, look: Any, variant: str) -> None:
    x, y = where
    if row:
        axes.plot([x, x], [100 * row["low"], 100 * row["high"]], color=look.colour, linewidth=0.8)
    axes.plot(x, y, **look.points(), label=variant)


def _front(axes: Any, means: list[tuple[float, float]]) -> None:
    """Draw the steps of those that nothing cheaper beats."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(means, key=lambda one: (one[0], -one[1])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    if len(best) > 1:
        xs, ys = zip(*best, strict=True)
        axes.step(xs, ys, where="post", color="0.6", linestyle="--", linewidth=0.8, zorder=0)


def _scale(axes: Any, means: list[tuple[float, float]]) -> None:
    """Set a logarithmic axis with plain numbers: costs differ by factors."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if not means:
        return
    xs = [x for x, _ in means]
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(xs) / 1.3, max(xs) * 1.3)
    axes.xaxis.set_major_locator(LogLocator(base=2, numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())
