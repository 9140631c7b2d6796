"""Learning curves, and the inflation of the best of several evaluations: scores during training."""

from collections import defaultdict
from pathlib import Path
from statistics import fmean

from harness.config.plan_file import PlanFile
from harness.figures.panels import count_text, panels, runs_of, styles_of
from harness.results.frame import SELECTION, RunRow
from harness.results.statistics_file import Statistics

MOST_BANDS = 6
"""Variants up to which the range over seeds is drawn."""
MARKERS = 8
"""Approximate number of markers on a line."""


def draw_curves(plan: PlanFile, runs: list[RunRow], statistics: Statistics, path: Path) -> str:
    """Draw the score on the selection split during training; return the caption."""
    styles, counts = styles_of(plan), []
    bands = len(styles) <= MOST_BANDS
    with panels(path, plan) as all_axes:
        for (task, model), axes in all_axes.items():
            for variant, style in styles.items():
                points = by_step(runs_of(runs, task, model, variant))
                counts.append(max(map(len, points.values()), default=0))
                steps = sorted(points)
                if not steps:
                    continue
                mean = [fmean(points[s]) for s in steps]
                axes.plot(steps, mean, **style.line(), markevery=marked(len(steps), bands), label=variant)
                if bands:
                    low, high = [min(points[s]) for s in steps], [max(points[s]) for s in steps]
                    axes.fill_between(steps, low, high, color=style.colour, alpha=0.09, linewidth=0)
                    for edge in (low, high):
                        axes.plot(steps, edge, color=style.colour, alpha=0.35, linewidth=0.5)
            axes.set_xlim(left=0)
            axes.set_xlabel("batches")
            axes.set_ylabel(f"{plan.tasks[task].primary_metric} (%)")
    where = _where(runs)
    note = "Bands: range over seeds." if bands else "The range over seeds is omitted for legibility."
    lines = f"Lines: mean over seeds ({count_text(counts)})."
    return f"Scores on the {where} during training. {lines} {note}"


def _where(runs: list[RunRow]) -> str:
    """Return the split that the curves are of."""
    if all(run.curve_split == SELECTION for run in runs):
        return "selection split"
    return "report split, because the protocol holds out no selection rows,"


def marked(points: int, few: bool) -> int | list[int]:
    """Return ``markevery``: some points of a line, or only the last one if there are many lines."""
    return max(1, points // MARKERS) if few else [points - 1]


def by_step(runs: list[RunRow]) -> dict[int, list[float]]:
    """Return the scores in percent after each batch at which runs were evaluated."""
    scores: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        for step, score in zip(run.curve_steps, run.curve_scores, strict=True):
            scores[step].append(100 * score)
    return dict(scores)


def draw_inflation(plan: PlanFile, runs: list[RunRow], statistics: Statistics, path: Path) -> str:
    """Draw how much higher the best of k evaluations is than the last one; return the caption."""
    from matplotlib.ticker import MaxNLocator

    styles, counts = styles_of(plan), []
    with panels(path, plan) as all_axes:
        for (task, model), axes in all_axes.items():
            for variant, style in styles.items():
                curves = [r.curve_scores for r in runs_of(runs, task, model, variant) if r.curve_scores]
                counts.append(len(curves))
                if curves:
                    shortest = min(map(len, curves))
                    each = [expected_best(curve, shortest) for curve in curves]
                    means = [100 * fmean(values) for values in zip(*each, strict=True)]
                    every = marked(shortest, len(styles) <= MOST_BANDS)
                    axes.plot(range(1, shortest + 1), means, **style.line(), markevery=every, label=variant)
            axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
            axes.set_xlabel("evaluations to select from")
            axes.set_ylabel("best - last (points)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return (
        "Expected difference between the best of k evaluations and the last one, if the last and k - 1 other "
        f"evaluations of a run can be selected; {_where(runs)}, mean over seeds ({count_text(counts)}). "
        "This is what selection on the report split adds to a score without a better model."
    )


def expected_best(curve: list[float], most: int) -> list[float]:
    """Return, for k from 1 to ``most``, the expected best of the last score and k - 1 others, minus it.

    The others are drawn without replacement; the expectation is over all draws. Binomial coefficients are
    computed by their logarithms, because those of thousands of evaluations overflow.
    """
    import numpy as np
    from scipy.special import gammaln

    last, others = curve[-1], np.sort(curve[:-1])
    logs = gammaln(np.arange(len(others) + 1) + 1.0)  # of 0!, 1!, ...
    expected = [0.0]
    for drawn in range(1, most):
        position = np.arange(drawn - 1, len(others))  # of the best of the drawn ones, in sorted order
        ways = logs[position] - logs[drawn - 1] - logs[position - drawn + 1]
        all_ways = logs[-1] - logs[drawn] - logs[len(others) - drawn]
        shares = np.exp(ways - all_ways)
        expected.append(float(shares @ np.maximum(others[position], last)) - last)
    return expected
