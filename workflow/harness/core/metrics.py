"""Metrics of a task, and whether a score could be chance."""

import numpy as np
from scipy import stats

from harness.plan.task import Metric, Task

RESAMPLES = 999
CHANCE = 0.05
"""A run whose permutation p-value is larger is not told apart from chance."""


def predictions(task: Task, logits: np.ndarray) -> np.ndarray:
    """Return class numbers, or scores, from logits [n, C]."""
    predicted: np.ndarray = logits.argmax(1) if task.kind == "classification" else logits[:, 0]
    return predicted


def score(metric: Metric, labels: np.ndarray, predicted: np.ndarray) -> float | None:
    """Return the metric, or None where it is not defined (a correlation with a constant)."""
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
    found = {metric: score(metric, labels, predicted) for metric in task.metrics}
    return {metric: value for metric, value in found.items() if value is not None}


def chance_p(task: Task, labels: np.ndarray, logits: np.ndarray) -> float | None:
    """Return how often shuffled labels score at least as high: the permutation p-value of the rank metric.

    The smallest value is 1 / (RESAMPLES + 1). None where the metric is not defined.
    """
    predicted = predictions(task, logits)
    if score(task.rank, labels, predicted) is None:
        return None
    result = stats.permutation_test(
        (labels,),
        lambda shuffled: score(task.rank, shuffled, predicted),
        permutation_type="pairings",
        n_resamples=RESAMPLES,
        alternative="greater",
        vectorized=False,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def collapse(task: Task, labels: np.ndarray, logits: np.ndarray) -> tuple[str | None, float | None]:
    """Return why a run counts as collapsed (None if it does not), and its chance p-value."""
    predicted = predictions(task, logits)
    p = chance_p(task, labels, logits)
    if len(np.unique(predicted)) == 1:
        return "predicts one class" if task.kind == "classification" else "predicts one value", p
    if task.rank == "matthews" and score("matthews", labels, predicted) == 0:
        return "Matthews correlation 0", p
    if p is None or p > CHANCE:
        return f"not better than chance (permutation p {p:.3f})", p
    return None, p
