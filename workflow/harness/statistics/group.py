"""A group: the trained models of one task and encoder, evaluated on the same examples.

Tests and intervals from predictions: examples are resampled or swapped, and for the interval of a mean over
seeds the seeds are resampled too. The tests are about these trained models, not about the methods.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.config.task import Metric
from harness.statistics.sufficient_statistics import features, scores

PERMUTATIONS, BOOTSTRAPS = 19_999, 2_000
"""With 19,999 permutations the smallest p-value is significant after a correction for 1,000 comparisons."""
ELEMENTS = 1 << 21
"""Numbers in one matrix of draws: 16 MB."""
TIE = 1e-12
Pair = tuple[int, int]
"""Positions of two variants in a group."""


def generator(*names: str) -> np.random.Generator:
    """Return a generator seeded by ``names``: the same draws every time and on every machine."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


@dataclass(frozen=True)
class Group:
    """Predictions of V variants with S seeds each on N examples."""

    name: str
    """Task and model; seeds the draws."""
    metric: Metric
    labels: np.ndarray
    """[N]"""
    predictions: np.ndarray
    """[V, S, N]; NaN for a run without predictions."""

    @property
    def present(self) -> np.ndarray:
        """Which runs have predictions: [V, S]."""
        present: np.ndarray = ~np.isnan(self.predictions).any(-1)
        return present

    def common(self, pair: Pair) -> np.ndarray:
        """Return the positions of the seeds that both variants have."""
        return np.flatnonzero(self.present[pair[0]] & self.present[pair[1]])

    def features(self) -> np.ndarray:
        """Return the features of each example: [N, V, S, K], zero for runs without predictions."""
        variants, seeds, n = self.predictions.shape
        present = self.present.ravel()
        values = features(self.metric, self.labels, self.predictions.reshape(-1, n)[present])
        all_values = np.zeros((n, variants * seeds, values.shape[-1]))
        all_values[:, present] = values
        return all_values.reshape(n, variants, seeds, -1)

    def scores(self) -> np.ndarray:
        """Return the metric of every run: [V, S], NaN for runs without predictions."""
        return np.where(self.present, scores(self.metric, self.features().sum(0)), np.nan)


def swap_p(group: Group, pairs: list[Pair], resamples: int = PERMUTATIONS) -> np.ndarray:
    """Return the two-sided p-value of each pair: predictions swapped example by example.

    Each seed of one variant is paired with the same seed of the other. An example is swapped in all seeds at
    once: predictions for one example are correlated between seeds, so independent swaps would reject far too
    often. The statistic is the mean over seeds of the difference of the metric, which may be any metric.
    Adding one to the count and to the resamples keeps the test valid.
    """
    each = group.features()
    total = each.sum(0)
    observed = np.array([_difference(group, total, np.zeros_like(total), pair) for pair in pairs])
    extreme = np.zeros(len(pairs))
    for swapped in _swaps(group, resamples):
        moved = np.tensordot(swapped, each, axes=1)
        for i, pair in enumerate(pairs):
            drawn = _difference(group, total, moved, pair)
            extreme[i] += (np.abs(drawn) >= abs(observed[i]) - TIE).sum()
    p: np.ndarray = (extreme + 1) / (resamples + 1)
    return p


def _difference(group: Group, total: np.ndarray, moved: np.ndarray, pair: Pair) -> np.ndarray:
    """Return the mean difference after the examples whose features sum to ``moved`` were swapped: [...]."""
    seeds = group.common(pair)
    (a, b), step = pair, moved[..., pair[1], seeds, :] - moved[..., pair[0], seeds, :]
    first = scores(group.metric, total[a, seeds] + step)
    mean: np.ndarray = (first - scores(group.metric, total[b, seeds] - step)).mean(-1)
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

    Examples are drawn with replacement, the same draw for all models. Then n - 1 of n seeds are drawn: with n
    of n, the variance of a mean over few seeds would be (n - 1) / n too small (Rao and Wu 1988). With one
    seed, only the examples vary.
    """
    each, present = group.features(), group.present
    draw, n = generator(group.name, "bootstrap"), len(group.labels)
    means, differences = [], []
    for size in _chunks(resamples, n):
        drawn = scores(group.metric, np.tensordot(_counts(draw, size, n), each, axes=1))
        where = draw.random((size, present.shape[1]))
        means.append(
            np.stack([_over(drawn[:, v], np.flatnonzero(present[v]), where) for v in range(len(present))], 1)
        )
        parts = [_over(drawn[:, a] - drawn[:, b], group.common((a, b)), where) for a, b in pairs]
        differences.append(np.stack(parts, 1) if parts else np.zeros((size, 0)))
    return np.concatenate(means), np.concatenate(differences)


def _counts(draw: np.random.Generator, size: int, n: int) -> np.ndarray:
    """Return how often each example is drawn: [size, n]."""
    rows = draw.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
    return np.bincount(rows.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _over(values: np.ndarray, seeds: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the mean over seeds that are drawn anew in each resample by ``where`` in [0, 1)."""
    if not len(seeds):
        return np.full(len(values), np.nan)
    drawn = seeds[(where[:, : max(1, len(seeds) - 1)] * len(seeds)).astype(int)]
    if len(seeds) == 1:
        drawn = np.full((len(values), 1), seeds[0])
    mean: np.ndarray = np.take_along_axis(values, drawn, axis=1).mean(1)
    return mean


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Return the bounds of the middle 95 % of the draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
