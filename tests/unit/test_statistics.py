"""Statistics against independent implementations, known values, and simulations of their promises."""

import numpy as np
import pytest
from scipy import stats
from scipy.stats import mannwhitneyu

from harness.config.task import CLASSIFICATION, Metric
from harness.engine.metrics import score
from harness.statistics.across import improvement, interquartile_mean, stratified
from harness.statistics.group import Group, bootstrap, generator, interval, swap_p
from harness.statistics.seeds import holm, min_seeds_for_significance, power, seeds_to_decide, sign_flip_p
from harness.statistics.sufficient_statistics import features, scores

METRICS: list[Metric] = ["accuracy", "f1", "matthews", "pearson", "spearman"]


def models(metric: Metric, count: int, n: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return labels [n] and predictions [count, n] of models that are right more often than not."""
    if metric in CLASSIFICATION:
        labels = draw.integers(0, 2, n).astype(float)
        right = draw.random((count, n)) < 0.8
        return labels, np.where(right, labels, 1 - labels)
    labels = draw.normal(size=n)
    return labels, labels + draw.normal(size=(count, n))


@pytest.mark.parametrize("metric", METRICS)
def test_scores_from_sums_are_those_of_scipy_and_scikit_learn(metric: Metric) -> None:
    labels, predictions = models(metric, 5, 60, np.random.default_rng(1))
    expected = [score(metric, labels, one) for one in predictions]
    assert scores(metric, features(metric, labels, predictions).sum(0)) == pytest.approx(expected, abs=1e-12)


def test_the_correlation_of_three_classes_and_undefined_scores_follow_scikit_learn() -> None:
    draw = np.random.default_rng(2)
    labels, predictions = draw.integers(0, 3, 50).astype(float), draw.integers(0, 3, (4, 50)).astype(float)
    predictions[3] = 1
    expected = [score("matthews", labels, one) for one in predictions]
    found = scores("matthews", features("matthews", labels, predictions).sum(0))
    assert found == pytest.approx(expected, abs=1e-12) and found[3] == 0
    constant = features("pearson", labels, np.ones((1, 50)))
    assert scores("pearson", constant.sum(0)) == 0


@pytest.mark.parametrize("metric", METRICS[:4])
def test_swaps_agree_with_every_swap_of_scipys_permutation_test(metric: Metric) -> None:
    labels, predictions = models(metric, 2, 10, np.random.default_rng(4))

    def difference(a: np.ndarray, b: np.ndarray) -> float:
        first, second = (scores(metric, features(metric, labels, x[None]).sum(0))[0] for x in (a, b))
        return abs(first - second)

    exact = stats.permutation_test(
        tuple(predictions), difference, permutation_type="samples", n_resamples=2**10, vectorized=False,
        alternative="greater",
    )  # fmt: skip
    group = Group("one", metric, labels, predictions[:, None])
    assert swap_p(group, [(0, 1)])[0] == pytest.approx(exact.pvalue, abs=0.015)


def test_swaps_of_one_accuracy_are_mcnemars_exact_test() -> None:
    labels = np.ones(100)
    first, second = np.ones((2, 100))
    first[:5], second[5:23] = 0, 0
    expected = stats.binomtest(5, 23).pvalue
    group = Group("one", "accuracy", labels, np.stack([first, second])[:, None])
    assert swap_p(group, [(0, 1), (1, 0)]) == pytest.approx([expected] * 2, abs=0.003)


def test_a_run_without_predictions_is_left_out_and_its_seed_is_not_paired() -> None:
    labels, predictions = models("accuracy", 6, 80, np.random.default_rng(5))
    whole = Group("one", "accuracy", labels, predictions.reshape(2, 3, 80))
    holed = Group("one", "accuracy", labels, whole.predictions.copy())
    holed.predictions[0, 1] = np.nan
    less = Group("one", "accuracy", labels, whole.predictions[:, [0, 2]])
    assert swap_p(holed, [(0, 1)]) == swap_p(less, [(0, 1)])
    assert np.isnan(holed.scores()[0, 1]) and np.isfinite(holed.scores()).sum() == 5


def test_draws_depend_on_names_alone() -> None:
    assert generator("a", "b").random() == generator("a", "b").random() != generator("a", "c").random()
    labels, predictions = models("f1", 2, 50, np.random.default_rng(6))
    one, other = (Group(name, "f1", labels, predictions[:, None]) for name in ("one", "other"))
    assert (bootstrap(one, [(0, 1)])[1] == bootstrap(one, [(0, 1)])[1]).all()
    assert (bootstrap(one, [(0, 1)])[1] != bootstrap(other, [(0, 1)])[1]).any()


def test_the_interval_of_one_model_is_scipys_bootstrap() -> None:
    labels, predictions = models("accuracy", 1, 400, np.random.default_rng(7))
    found = interval(bootstrap(Group("one", "accuracy", labels, predictions[:, None]), [])[0][:, 0])
    right = (predictions[0] == labels).astype(float)
    expected = stats.bootstrap((right,), np.mean, method="percentile", rng=np.random.default_rng(0))
    assert found == pytest.approx(tuple(expected.confidence_interval), abs=0.004)


def test_draws_of_seeds_vary_as_the_mean_over_seeds_does() -> None:
    draw = np.random.default_rng(8)
    accuracy = np.linspace(0.6, 0.8, 4)
    right = draw.random((4, 20_000)) < accuracy[:, None]
    group = Group("one", "accuracy", np.ones(20_000), right[None].astype(float))
    spread = bootstrap(group, [], 4000)[0][:, 0].std()
    assert spread == pytest.approx(group.scores().std(ddof=1) / 2, rel=0.06)


@pytest.mark.parametrize("n", [1, 3, 6, 9])
def test_sign_flips_are_scipys_permutation_test(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.5, 1, (n, 4))
    expected = [
        stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=2**n).pvalue
        if n > 1
        else 1.0
        for d in differences.T
    ]
    assert sign_flip_p(differences) == pytest.approx(expected)


def test_many_seeds_are_drawn_and_agree_with_scipy() -> None:
    differences = np.random.default_rng(0).normal(0.4, 1, (20, 3))
    expected = [
        stats.permutation_test(
            (d,), np.mean, permutation_type="samples", n_resamples=99_999, rng=np.random.default_rng(1)
        ).pvalue
        for d in differences.T
    ]
    assert sign_flip_p(differences) == pytest.approx(expected, abs=0.01)
    assert sign_flip_p(np.ones((20, 1))) >= 1 / 10_000


def test_many_comparisons_over_many_seeds_can_be_significant() -> None:
    differences = np.random.default_rng(0).normal(3, 1, (50, 950))
    assert holm(sign_flip_p(differences, 950)).max() <= 0.05 < holm(sign_flip_p(differences)).min()


def test_holm_on_a_known_example() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0]) and len(holm(np.array([]))) == 0


@pytest.mark.parametrize("comparisons", [1, 6, 12, 950])
def test_reach_is_the_first_number_of_seeds_whose_smallest_p_survives(comparisons: int) -> None:
    n = min_seeds_for_significance(comparisons)
    smallest = [sign_flip_p(np.arange(1.0, 1.0 + k)[:, None])[0] if k < 13 else 2 / 2**k for k in (n - 1, n)]
    assert smallest[1] * comparisons <= 0.05 < smallest[0] * comparisons
    assert min_seeds_for_significance(1) == 6


def test_power_is_that_of_published_tables() -> None:
    assert power(np.array([34]), 0.5)[0] == pytest.approx(0.8078, abs=1e-3)  # G*Power: n = 34 for dz = .5
    base = np.array([-1.0, 1.0, 0.0])
    assert seeds_to_decide(base / base.std(ddof=1) + 0.5) == 34
    assert seeds_to_decide(base + 0.001) is None and seeds_to_decide(np.array([0.1])) is None
    assert (
        seeds_to_decide(np.full(3, 0.1), 6) == min_seeds_for_significance(6)
        and seeds_to_decide(np.zeros(3)) is None
    )


def test_iqm_and_probability_of_improvement_are_known_values() -> None:
    assert interquartile_mean([np.arange(4.0), np.arange(4.0, 8.0)]) == 3.5
    draw = np.random.default_rng(9)
    own, other = ([draw.integers(0, 9, n).astype(float) for n in (5, 7)] for _ in range(2))
    u = [mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(own, other, strict=True)]
    assert improvement(own, other) == pytest.approx(np.mean(u))
    low, high = stratified("one", improvement, own, other)
    assert low <= improvement(own, other) <= high and (low, high) == stratified(
        "one", improvement, own, other
    )


# Promises, by simulation. Many pairs of models are one group; each pair is a data set of its own.


def stubborn(pairs: int, seeds: int, n: int, gain: float, draw: np.random.Generator) -> Group:
    """Return pairs of methods that agree with themselves from seed to seed on nearly every example."""
    taste = draw.random((2 * pairs, 1, n)) < 0.75
    taste[::2] |= draw.random((pairs, 1, n)) < gain
    right = taste ^ (draw.random((2 * pairs, seeds, n)) < 0.02)
    return Group("stubborn", "accuracy", np.ones(n), right.astype(float))


def neighbours(pairs: int) -> list[tuple[int, int]]:
    return [(2 * i, 2 * i + 1) for i in range(pairs)]


def test_swaps_reject_equal_models_in_at_most_6_percent_of_cases() -> None:
    group = stubborn(1500, 3, 120, 0.0, np.random.default_rng(10))
    assert 0.03 < (swap_p(group, neighbours(1500), 399) <= 0.05).mean() <= 0.06


def test_swaps_that_differ_between_seeds_would_reject_far_too_often() -> None:
    group = stubborn(500, 3, 120, 0.0, np.random.default_rng(11))
    apart = Group("apart", "accuracy", np.ones(360), group.predictions.reshape(1000, 1, 360))
    assert (swap_p(apart, neighbours(500), 399) <= 0.05).mean() > 0.15


@pytest.mark.parametrize("metric", ["f1", "matthews", "pearson"])
def test_swaps_keep_their_promise_for_other_metrics(metric: Metric) -> None:
    labels, predictions = models(metric, 4000, 80, np.random.default_rng(12))
    group = Group("null", metric, labels, predictions.reshape(2000, 2, 80))
    assert 0.03 < (swap_p(group, neighbours(1000), 399) <= 0.05).mean() <= 0.06


def test_swaps_find_a_planted_difference_as_often_as_mcnemars_test_should() -> None:
    group = stubborn(500, 1, 300, 0.4, np.random.default_rng(13))
    first, second = group.predictions[::2, 0], group.predictions[1::2, 0]
    counts = zip((first > second).sum(1), (first < second).sum(1), strict=True)
    expected = np.mean([stats.binomtest(int(b), int(b + c)).pvalue <= 0.05 for b, c in counts])
    assert 0.5 < expected < 0.98
    assert (swap_p(group, neighbours(500), 399) <= 0.05).mean() == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("n", [6, 8, 10, 20])
@pytest.mark.parametrize("law", ["normal", "standard_t"])
def test_sign_flips_reject_equal_methods_in_at_most_6_percent_of_cases(n: int, law: str) -> None:
    draw = np.random.default_rng(14)
    differences = draw.standard_t(3, (n, 4000)) if law == "standard_t" else draw.normal(size=(n, 4000))
    assert (sign_flip_p(differences) <= 0.05).mean() <= 0.06


@pytest.mark.parametrize(
    ("effect", "comparisons"),
    [(0.7, 1), (1.0, 1), (1.0, 6), (1.5, 6), (1.435, 1), (1.7, 6), (1.74, 24)],  # the last ones: few seeds
)
def test_the_seeds_to_decide_give_the_stated_power(effect: float, comparisons: int) -> None:
    base = np.array([-1.0, 1.0, 0.0])
    n = seeds_to_decide(base / base.std(ddof=1) + effect, comparisons)
    assert n is not None
    differences = np.random.default_rng(15).normal(effect, 1, (n, 4000))
    assert 0.77 < (sign_flip_p(differences, comparisons) * comparisons <= 0.05).mean() < 0.92


def covered(seeds: int, n: int, repeats: int, draw: np.random.Generator) -> float:
    """Return how often the interval holds the true mean accuracy of a method whose runs vary."""
    found = []
    for i in range(repeats):
        accuracy = np.clip(draw.normal(0.8, 0.03, seeds), 0, 1)
        right = (draw.random((1, seeds, n)) < accuracy[:, None]).astype(float)
        low, high = interval(bootstrap(Group(str(i), "accuracy", np.ones(n), right), [], 400)[0][:, 0])
        found.append(low <= 0.8 <= high)
    return float(np.mean(found))


def test_intervals_over_ten_seeds_hold_the_truth_nine_times_in_ten_and_over_three_less_often() -> None:
    draw = np.random.default_rng(16)
    assert covered(10, 200, 400, draw) >= 0.9
    assert 0.7 < covered(3, 2000, 300, draw) < 0.93  # what captions warn of


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2, 5, 10])
@pytest.mark.parametrize("metric", METRICS)
def test_swaps_keep_their_promise_at_length(metric: Metric, seeds: int) -> None:
    labels, predictions = models(metric, 8000 * seeds, 100, np.random.default_rng(17 + seeds))
    group = Group("null", metric, labels, predictions.reshape(8000, seeds, 100))
    assert (swap_p(group, neighbours(4000), 999) <= 0.05).mean() <= 0.06
