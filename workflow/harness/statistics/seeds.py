"""Tests of methods across training seeds, their correction, and the number of seeds that would decide.

A run is one draw from a method's training. Only further draws, with other seeds, can separate methods; more
examples cannot.
"""

import math
from collections.abc import Iterator

import numpy as np
from scipy import stats

from harness.statistics.group import generator

LEVEL = 0.05
POWER = 0.8
MOST = 1000
"""Largest number of seeds that is considered."""
LARGEST = 50.0
"""Largest effect for which scipy's noncentral t distribution is defined; the power is 1 long before."""
RESAMPLES = 9_999
SIMULATIONS = 1_000
COARSE = 6
"""Seeds above the smallest testable number up to which the power is simulated: the p-values are coarse."""
BATCH = 4096
TIE = 1e-9


def sign_flip_p(differences: np.ndarray, comparisons: int = 1) -> np.ndarray:
    """Return the two-sided p-value of each column of paired differences [n, P].

    Under the null hypothesis each difference is as likely to have the other sign. All 2^n signs are used if
    they are few; otherwise 9,999 draws, or forty for each of the ``comparisons`` of a later correction, so
    that the smallest p-value can stay significant. scipy's permutation_test gives the same values, one
    column at a time.
    """
    n, draws = len(differences), max(RESAMPLES, 40 * comparisons)
    exact = 2**n <= draws
    draws = 2**n if exact else draws
    least = np.abs(differences.sum(0)) - TIE * np.abs(differences).sum(0)
    extreme = np.zeros(differences.shape[1])
    for signs in _signs(n, draws, exact):
        extreme += (np.abs(signs @ differences) >= least).sum(0)
    p: np.ndarray = extreme / draws if exact else (extreme + 1) / (draws + 1)
    return p


def _signs(n: int, draws: int, exact: bool) -> Iterator[np.ndarray]:
    draw = generator("sign flips", str(n))
    for start in range(0, draws, BATCH):
        size = min(BATCH, draws - start)
        if exact:
            yield 1.0 - 2.0 * ((np.arange(start, start + size)[:, None] >> np.arange(n)) & 1)
        else:
            yield 2.0 * draw.integers(0, 2, (size, n), dtype=np.int8) - 1.0


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for multiple comparisons (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return corrected


def min_seeds_for_significance(comparisons: int = 1) -> int:
    """Return the smallest number of seeds with which a sign-flip test can reach LEVEL after correction."""
    return math.ceil(math.log2(2 * comparisons / LEVEL))


def power(n: np.ndarray, effect: float, level: float = LEVEL) -> np.ndarray:
    """Return the power of a paired two-sided test over n seeds; ``effect`` is mean over standard deviation.

    It is the power of the t test, to which the sign-flip test is close, to find the difference with its true
    sign.
    """
    critical = stats.t.isf(level / 2, n - 1)
    values: np.ndarray = stats.nct.sf(critical, n - 1, abs(effect) * np.sqrt(n))
    return values


def simulated_power(n: int, effect: float, comparisons: int) -> float:
    """Return the power of the sign-flip test over n seeds after a correction for ``comparisons``.

    With few seeds only the most extreme signs are significant, and the test has less power than the t test.
    """
    draws = generator("power", str(n)).normal(abs(effect), 1.0, (n, SIMULATIONS))
    return float((sign_flip_p(draws, comparisons) * comparisons <= LEVEL).mean())


def seeds_to_decide(differences: np.ndarray, comparisons: int = 1) -> int | None:
    """Return the total number of seeds for 80 % power if the difference and its spread are as observed.

    None if more than MOST would be needed, or if fewer than two differences are known.
    """
    if len(differences) < 2:
        return None
    mean, sd = abs(float(np.mean(differences))), float(np.std(differences, ddof=1))
    if mean == 0:
        return None
    effect = min(LARGEST, mean / sd) if sd else LARGEST
    fewest = min_seeds_for_significance(comparisons)
    n = np.arange(fewest, MOST + 1)
    enough = n[power(n, effect, LEVEL / comparisons) >= POWER]
    if not len(enough):
        return None
    seeds = int(enough[0])
    while seeds < fewest + COARSE and simulated_power(seeds, effect, comparisons) < POWER:
        seeds += 1
    return seeds
