"""Several tasks at once: interquartile mean and probability of improvement (Agarwal et al. 2021).

Runs are resampled within each task (a stratified bootstrap). rliable is not used because it ignores the
random state that it is given.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import trim_mean

from harness.statistics.group import BOOTSTRAPS, generator, interval

Strata = list[np.ndarray]
"""Scores of one method: one array [..., n] per task."""


def interquartile_mean(strata: Strata) -> np.ndarray:
    """Return the mean over tasks of the mean of each task's middle half of runs: [...].

    Agarwal et al. trim the runs of all tasks together, after normalising their scores. Without normalisation
    that would drop entire tasks, the easiest and the hardest, whatever a method gains on them.
    """
    mean: np.ndarray = np.mean([trim_mean(scores, 0.25, axis=-1) for scores in strata], axis=0)
    return mean


def improvement(strata: Strata, reference: Strata) -> np.ndarray:
    """Return the probability that a run beats one of the reference: [...], mean over tasks, ties half."""
    parts = []
    for scores, others in zip(strata, reference, strict=True):
        more = scores[..., :, None] > others[..., None, :]
        same = scores[..., :, None] == others[..., None, :]
        parts.append((more + 0.5 * same).mean((-2, -1)))
    mean: np.ndarray = np.mean(parts, axis=0)
    return mean


def stratified(
    name: str, statistic: Callable[..., np.ndarray], *methods: Strata, resamples: int = BOOTSTRAPS
) -> tuple[float, float]:
    """Return the 95 % interval of ``statistic``; runs are resampled within each method and task."""
    draw = generator(name, "stratified")
    drawn = [
        [scores[draw.integers(0, len(scores), (resamples, len(scores)))] for scores in strata]
        for strata in methods
    ]
    return interval(statistic(*drawn))
