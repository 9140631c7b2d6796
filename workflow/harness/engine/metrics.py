"""Metrics of a task, and whether a score can be chance."""

import numpy as np
from scipy import stats

from harness.config.task import Metric, Task

RESAMPLES = 999
CHANCE = 0.05
"""Largest permutation p-value of a run that is better than chance."""


def predictions(task: Task, logits: np.ndarray) -> np.ndarray:
    """Return class numbers, or scores, from logits [n, C]."""
    predicted: np.ndarray = logits.argmax(1) if task.kind == "classification" else logits[:, 0]
    return predicted


def score(metric: Metric, labels: np.ndarray, predicted: np.ndarray) -> float | None:
    """Return the metric, or None if it is undefined (a correlation with a constant)."""
    if metric in ("pearson", "spearman"):
        if np.ptp(predicted) == 0 or np.ptp(labels) == 0:
            return None
        test = stats.pearsonr if metric == "pearson" else stats.spearmanr
        return float(test(labels, predicted).statistic)
    from sklearn import metrics as sk

    functions = {"accuracy": sk.accuracy_score, "f1": sk.f1_score, "matthews": sk.matthews_corrcoef}
    return float(functions[metric](labels, predicted))


def scores(task: Task, labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return every defined metric of ``task`` by name."""
    predicted = predictions(task, logits)
    values = {metric: score(metric, labels, predicted) for metric in task.metrics}
    return {metric: value for metric, value in values.items() if value is not None}


def chance_p(task: Task, labels: np.ndarray, logits: np.ndarray) -> float | None:
    """Return the permutation p-value of the primary metric: how often shuffled labels score at least as high.

    The smallest value is 1 / (RESAMPLES + 1). None if the metric is undefined.
    """
    predicted = predictions(task, logits)
    if score(task.primary_metric, labels, predicted) is None:
        return None
    result = stats.permutation_test(
        (labels,),
        lambda shuffled, axis: shuffled_scores(task.primary_metric, shuffled, predicted),
        permutation_type="pairings",
        n_resamples=RESAMPLES,
        alternative="greater",
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def shuffled_scores(metric: Metric, labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the metric of each row of labels [..., n] with the same predictions [n]: [...].

    It equals ``score`` up to rounding, and a thousand rows take no longer than a few calls of ``score``.
    """
    if metric == "spearman":
        labels, predicted = stats.rankdata(labels, axis=-1), stats.rankdata(predicted)
    if metric in ("pearson", "spearman"):
        return _correlation(labels, predicted)
    correct = labels == predicted
    if metric == "accuracy":
        return np.asarray(correct.mean(-1))
    if metric == "f1":
        hits, total = (correct & (predicted == 1)).sum(-1), (predicted == 1).sum() + (labels == 1).sum(-1)
        return np.asarray(np.divide(2.0 * hits, total, out=np.zeros(hits.shape), where=total > 0))
    counts = [((labels == c).sum(-1), (predicted == c).sum()) for c in np.union1d(labels, predicted)]
    n = labels.shape[-1]
    covariance = n * correct.sum(-1) - sum(true * guessed for true, guessed in counts)
    spread = (n * n - sum(true**2 for true, _ in counts)) * (n * n - sum(g**2 for _, g in counts))
    return np.asarray(
        np.divide(covariance, np.sqrt(spread), out=np.zeros(covariance.shape), where=spread > 0)
    )


def _correlation(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    x, y = labels - labels.mean(-1, keepdims=True), predicted - predicted.mean()
    return np.asarray((x @ y) / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y)))


def collapse(task: Task, labels: np.ndarray, logits: np.ndarray) -> tuple[str | None, float | None]:
    """Return why a run counts as collapsed (None if it does not), and its chance p-value."""
    predicted = predictions(task, logits)
    p = chance_p(task, labels, logits)
    if len(np.unique(predicted)) == 1:
        return "predicts one class" if task.kind == "classification" else "predicts one value", p
    if task.primary_metric == "matthews" and score("matthews", labels, predicted) == 0:
        return "Matthews correlation 0", p
    if p is None or p > CHANCE:
        return f"not better than chance (permutation p {p:.3f})", p
    return None, p
