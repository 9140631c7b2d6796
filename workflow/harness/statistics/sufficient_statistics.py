"""Metrics as functions of sums over examples, so that thousands of resamples cost one matrix product.

Every metric is computed from a few sums (counts of a confusion matrix, moments of a regression). Resampling
or swapping examples changes the sums linearly, so predictions are read only once.
"""

import numpy as np
from scipy.stats import rankdata

from harness.config.task import CLASSIFICATION, Metric


def features(metric: Metric, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return the terms that each example adds to the sums of each model: [N, M, K].

    ``labels`` [N] and ``predictions`` [M, N] are class numbers, or scores of a regression. Spearman's
    ranks are computed once, before any resampling.
    """
    if metric in CLASSIFICATION:
        return _class_features(metric, labels, predictions)
    if metric == "spearman":
        labels, predictions = rankdata(labels), rankdata(predictions, axis=1)
    y = np.broadcast_to(labels - labels.mean(), predictions.shape)
    p = predictions - predictions.mean(axis=1, keepdims=True).mean()
    return np.stack([np.ones_like(p), y, y * y, p, p * p, y * p], axis=-1).swapaxes(0, 1)


def _class_features(metric: Metric, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    true = np.broadcast_to(labels, predictions.shape)
    if metric == "accuracy":
        parts = [np.ones(predictions.shape), predictions == true]
    elif metric == "f1":
        parts = [(predictions == 1) & (true == 1), predictions == 1, true == 1]
    else:
        classes = np.union1d(labels, predictions)
        parts = [np.ones(predictions.shape), predictions == true]
        parts += [predictions == c for c in classes] + [true == c for c in classes]
    return np.stack(parts, axis=-1).astype(np.float64).swapaxes(0, 1)


def scores(metric: Metric, sums: np.ndarray) -> np.ndarray:
    """Return the metric for sums [..., K]; 0 where it is undefined, as in scikit-learn."""
    if metric == "accuracy":
        return _ratio(sums[..., 1], sums[..., 0])
    if metric == "f1":
        return _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])
    if metric == "matthews":
        return _matthews(sums)
    n, y, yy, p, pp, yp = np.moveaxis(sums, -1, 0)
    return _ratio(n * yp - y * p, np.sqrt(np.clip((n * yy - y * y) * (n * pp - p * p), 0, None)))


def _matthews(sums: np.ndarray) -> np.ndarray:
    """Return the Matthews correlation for any number of classes (Gorodkin 2004)."""
    n, correct = sums[..., 0], sums[..., 1]
    predicted, true = np.split(sums[..., 2:], 2, axis=-1)
    spread = [n * n - (counts * counts).sum(-1) for counts in (predicted, true)]
    return _ratio(n * correct - (predicted * true).sum(-1), np.sqrt(spread[0] * spread[1]))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return ratio
