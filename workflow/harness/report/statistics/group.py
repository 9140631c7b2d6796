"""A group: every model of one task and encoder, on the same examples; tests and intervals from predictions.

What is said here speaks of the trained models at hand: examples are drawn again or swapped, seeds only where
the interval of a mean over seeds is asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.plan.task import Metric
from harness.report.statistics.draws import generator
from harness.report.statistics.sums import features, scores

PERMUTATIONS, BOOTSTRAPS = 19_999, 2_000
"""So many permutations let the smallest p-value survive a correction for 1,000 comparisons."""
ELEMENTS = 1 << 21
"""Numbers in one matrix of draws: 16 MB."""
TIE = 1e-12
Pair = tuple[int, int]


@dataclass(frozen=True)
class Group:
    """Predictions of V variants with S seeds each on N examples."""

    name: str
    """What the draws are seeded from: task and model."""
    metric: Metric
    labels: np.ndarray
    """[N]"""
    predictions: np.ndarray
    """[V, S, N]; NaN where a run has none."""

    @property
    def there(self) -> np.ndarray:
        """Which runs have predictions: [V, S]."""
        found: np.ndarray = ~np.isnan(self.predictions).any(-1)
        return found

    def common(self, pair: Pair) -> np.ndarray:
        """Return the positions of the seeds that both variants have."""
        return np.flatnonzero(self.there[pair[0]] & self.there[pair[1]])

    def features(self) -> np.ndarray:
        """Return what each example adds: [N, V, S, K], zero for runs without predictions."""
        variants, seeds, n = self.predictions.shape
        there = self.there.ravel()
        known = features(self.metric, self.labels, self.predictions.reshape(-1, n)[there])
        whole = np.zeros((n, variants * seeds, known.shape[-1]))
        whole[:, there] = known
        return whole.reshape(n, variants, seeds, -1)

    def scores(self) -> np.ndarray:
        """Return the metric of every run: [V, S], NaN for runs without predictions."""
        return np.where(self.there, scores(self.metric, self.features().sum(0)), np.nan)


def swap_p(group: Group, pairs: list[Pair], resamples: int = PERMUTATIONS) -> np.ndarray:
    """Return the two-sided p-value of each pair: predictions swapped example by example.

    Each seed of one variant is paired with the same seed of the other. An example is swapped in all seeds
    at once: what two methods make of it may be alike from seed to seed, and swaps of one example that are
    independent between seeds would then reject far too often. The statistic is the mean over seeds of the
    difference of the metric, so any metric will do. Adding one to count and resamples keeps it valid.
    """
    each = group.features()
    whole = each.sum(0)
    observed = np.array([_difference(group, whole, np.zeros_like(whole), pair) for pair in pairs])
    extreme = np.zeros(len(pairs))
    for swapped in _swaps(group, resamples):
        moved = np.tensordot(swapped, each, axes=1)
        for i, pair in enumerate(pairs):
            drawn = _difference(group, whole, moved, pair)
            extreme[i] += (np.abs(drawn) >= abs(observed[i]) - TIE).sum()
    p: np.ndarray = (extreme + 1) / (resamples + 1)
    return p


def _difference(group: Group, whole: np.ndarray, moved: np.ndarray, pair: Pair) -> np.ndarray:
    """Return the mean difference when the examples that ``moved`` sums up have changed sides: [...]."""
    seeds = group.common(pair)
    (a, b), step = pair, moved[..., pair[1], seeds, :] - moved[..., pair[0], seeds, :]
    first = scores(group.metric, whole[a, seeds] + step)
    mean: np.ndarray = (first - scores(group.metric, whole[b, seeds] - step)).mean(-1)
    return mean


def _swaps(group: Group, resamples: int) -> Iterator[np.ndarray]:
    draw, n = generator(group.name, "swaps"), len(group.labels)
    for size in _chunks(resamples, n):
        yield draw.integers(0, 2, (size, n), dtype=np.uint8).astype(np.float64)


def _chunks(resamples: int, n: int) -> list[int]:
    step = max(1, min(resamples, ELEMENTS // n))
    return [min(step, resamples - start) for start in range(0, resamples, step)]


def bootstrap(group: Group, pairs: list[Pair], resamples: int = BOOTSTRAPS) -> tuple[np.ndarray, np.ndarray]:
    """Return draws of each variant's mean [R, V] and of each pair's mean difference [R, P].

    Examples are drawn with replacement, one draw for all models; then seeds, one less than there are (with
    n of n, the variance of a mean over few seeds comes out (n-1)/n too small: Rao and Wu 1988). With a
    single seed only the examples vary.
    """
    each, there = group.features(), group.there
    draw, n = generator(group.name, "bootstrap"), len(group.labels)
    means, differences = [], []
    for size in _chunks(resamples, n):
        drawn = scores(group.metric, np.tensordot(_counts(draw, size, n), each, axes=1))
        where = draw.random((size, there.shape[1]))
        means.append(
            np.stack([_over(drawn[:, v], np.flatnonzero(there[v]), where) for v in range(len(there))], 1)
        )
        parts = [_over(drawn[:, a] - drawn[:, b], group.common((a, b)), where) for a, b in pairs]
        differences.append(np.stack(parts, 1) if parts else np.zeros((size, 0)))
    return np.concatenate(means), np.concatenate(differences)


def _counts(draw: np.random.Generator, size: int, n: int) -> np.ndarray:
    """Return how often each example is drawn: [size, n]."""
    rows = draw.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
    return np.bincount(rows.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _over(values: np.ndarray, seeds: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the mean over seeds drawn anew in each resample; ``where`` in [0, 1) chooses them."""
    if not len(seeds):
        return np.full(len(values), np.nan)
    chosen = seeds[(where[:, : max(1, len(seeds) - 1)] * len(seeds)).astype(int)]
    if len(seeds) == 1:
        chosen = np.full((len(values), 1), seeds[0])
    mean: np.ndarray = np.take_along_axis(values, chosen, axis=1).mean(1)
    return mean


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Return the middle 95 % of the draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
