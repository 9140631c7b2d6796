"""Inflation: what reporting the best of many evaluations adds to the last one."""

from pathlib import Path
from statistics import fmean
from typing import Any

from harness.report.claims import Statistics
from harness.report.figures.curves import MOST_BANDS, marked
from harness.report.figures.panels import counted, panels, runs_of, variants_of
from harness.report.values import RunRow


def draw(plan: dict[str, Any], runs: list[RunRow], statistics: Statistics, path: Path) -> str:
    """Write the figure; return its caption."""
    from matplotlib.ticker import MaxNLocator

    looks, numbers = variants_of(plan), []
    with panels(path, plan) as found:
        for (task, model), axes in found.items():
            for variant, look in looks.items():
                curves = [r["curve_scores"] for r in runs_of(runs, task, model, variant) if r["curve_scores"]]
                numbers.append(len(curves))
                if curves:
                    shortest = min(map(len, curves))
                    each = [expected_best(curve, shortest) for curve in curves]
                    means = [100 * fmean(values) for values in zip(*each, strict=True)]
                    every = marked(shortest, len(looks) <= MOST_BANDS)
                    axes.plot(range(1, shortest + 1), means, **look.curve(), markevery=every, label=variant)
            axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
            axes.set_xlabel("evaluations to choose from")
            axes.set_ylabel("best - last (points)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return (
        "How much higher than the last evaluation the best of k evaluations is expected to be, when the last "
        "and k - 1 others along the run may be chosen from; selection rows, mean over seeds "
        f"({counted(numbers)}). So much does choosing on the reported rows add without any better model."
    )


def expected_best(curve: list[float], most: int) -> list[float]:
    """Return, for k from 1 to ``most``, the expected best of the last score and k - 1 others, less the last.

    The others are drawn without replacement; the expectation is over all ways to draw them. Binomials are
    taken by their logarithms: those of a few thousand evaluations are no floats any more.
    """
    import numpy as np
    from scipy.special import gammaln

    last, others = curve[-1], np.sort(curve[:-1])
    logs = gammaln(np.arange(len(others) + 1) + 1.0)  # of 0!, 1!, ...
    found = [0.0]
    for drawn in range(1, most):
        place = np.arange(drawn - 1, len(others))  # of the best of those drawn, in their order
        ways = logs[place] - logs[drawn - 1] - logs[place - drawn + 1]
        all_ways = logs[-1] - logs[drawn] - logs[len(others) - drawn]
        shares = np.exp(ways - all_ways)
        found.append(float(shares @ np.maximum(others[place], last)) - last)
    return found
