"""Several tasks at once: interquartile mean and probability of improvement (Agarwal et al. 2021).

Runs are drawn again within each task (a stratified bootstrap), from a generator of our own: rliable's
takes no notice of the state that it is given.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import trim_mean

from harness.report.statistics.draws import generator
from harness.report.statistics.group import BOOTSTRAPS, interval

Strata = list[np.ndarray]
"""Scores of one method: one array [..., n] a task."""


def interquartile_mean(strata: Strata) -> np.ndarray:
    """Return the mean of the middle half of all runs of all tasks: [...]."""
    found: np.ndarray = trim_mean(np.concatenate(strata, axis=-1), 0.25, axis=-1)
    return found


def improvement(strata: Strata, reference: Strata) -> np.ndarray:
    """Return how often a run is better than one of the reference, ties half; the mean over tasks: [...]."""
    parts = []
    for own, other in zip(strata, reference, strict=True):
        more = own[..., :, None] > other[..., None, :]
        same = own[..., :, None] == other[..., None, :]
        parts.append((more + 0.5 * same).mean((-2, -1)))
    mean: np.ndarray = np.mean(parts, axis=0)
    return mean


def stratified(
    name: str, statistic: Callable[..., np.ndarray], *methods: Strata, resamples: int = BOOTSTRAPS
) -> tuple[float, float]:
    """Return the 95 % interval of ``statistic``; the runs of each method and task are drawn by themselves."""
    draw = generator(name, "stratified")
    drawn = [
        [scores[draw.integers(0, len(scores), (resamples, len(scores)))] for scores in strata]
        for strata in methods
    ]
    return interval(statistic(*drawn))
