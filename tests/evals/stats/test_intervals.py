"""Intervals cover what they say, by simulation; tests agree with scipy and statsmodels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from evals.stats import intervals

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]


def beta(a: float, b: float) -> tuple[float, Draw]:
    return a / (a + b), lambda rng, shape: rng.beta(a, b, shape)


def mixture(zeros: float, ones: float, a: float, b: float) -> tuple[float, Draw]:
    """Questions never solved, always solved, and in between."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        kind = rng.random(shape)
        return np.where(kind < zeros, 0.0, np.where(kind < zeros + ones, 1.0, rng.beta(a, b, shape)))

    return ones + (1 - zeros - ones) * a / (a + b), draw


U_SHAPED = {
    "even": beta(0.3, 0.3),
    "wide": beta(0.5, 0.5),
    "hard": beta(0.2, 0.4),
    "easy": beta(0.7, 0.4),
    "very hard": beta(0.1, 0.3),
    "very easy": beta(0.5, 0.1),
    "lumps": mixture(0.3, 0.3, 1, 1),
    "mostly solved": mixture(0.1, 0.6, 0.5, 0.5),
    "mostly unsolved": mixture(0.5, 0.2, 1, 1),
}
AT_THE_EDGE = {
    "all solved": mixture(0, 1, 1, 1),
    "none solved": mixture(1, 0, 1, 1),
    "all alike": beta(500, 500),
    "alike and hard": beta(0.5, 50),
    "alike and harder": beta(2, 100),
    "nearly solved": beta(1, 0.05),
    "nearly all solved": beta(0.98, 0.02),
    "nearly none solved": beta(0.02, 0.98),
    "one in a hundred": mixture(0.99, 0.01, 1, 1),
    "one in two hundred": mixture(0.005, 0.995, 1, 1),
    "one in twelve": mixture(0.92, 0.08, 1, 1),
    "a hard tail": mixture(0, 0.9, 5, 5),
    "a few hard ones": mixture(0.01, 0.95, 1, 1),
}
SHAPES = [(30, 64), (500, 4), (164, 1)]


def coverage(difficulty: tuple[float, Draw], n: int, k: int, benchmarks: int) -> float:
    """The share of simulated benchmarks of n questions x k samples whose interval holds the true mean."""
    mean, draw = difficulty
    rng = np.random.default_rng(1)
    rates = rng.binomial(k, draw(rng, (benchmarks, n))) / k
    low, high = intervals.bounded_mean_interval(rates)
    return float(np.mean((low <= mean + 1e-12) & (mean - 1e-12 <= high)))


@pytest.mark.parametrize("name", U_SHAPED)
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_intervals_cover_u_shaped_difficulties(name: str, n: int, k: int) -> None:
    assert 0.93 <= coverage(U_SHAPED[name], n, k, 4000) <= 0.97


@pytest.mark.parametrize("name", AT_THE_EDGE)
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_intervals_cover_where_questions_agree(name: str, n: int, k: int) -> None:
    assert coverage(AT_THE_EDGE[name], n, k, 4000) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize(("n", "k"), [(20, 64), (30, 4), (100, 16)])
def test_intervals_cover_at_other_sizes(n: int, k: int) -> None:
    for difficulty in U_SHAPED.values():
        assert 0.93 <= coverage(difficulty, n, k, 4000) <= 0.98
    for difficulty in AT_THE_EDGE.values():
        assert coverage(difficulty, n, k, 4000) >= 0.93


def test_the_t_interval_would_fail_there() -> None:
    """What the interval replaces: the simulation must be able to tell."""
    mean, draw = AT_THE_EDGE["nearly all solved"]
    rng = np.random.default_rng(1)
    rates = rng.binomial(64, draw(rng, (4000, 30))) / 64
    half = stats.t.ppf(0.975, 29) * rates.std(axis=1, ddof=1) / np.sqrt(30)
    assert np.mean(np.abs(rates.mean(axis=1) - mean) <= half) < 0.75


def test_an_interval_holds_its_value_and_stays_in_range() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.beta(*rng.uniform(0.01, 5, 2), int(rng.integers(1, 200))) for _ in range(300)]
    for rates in [*samples, np.ones(3), np.zeros(2000), np.full(7, 0.5), np.array([0.99] * 30)]:
        estimate = intervals.mean_estimate(rates)
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert estimate.high - estimate.low > 0
    assert intervals.mean_estimate(rates).stderr == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(20, 20, 0.834, 1.0), (0, 20, 0.0, 0.166), (9, 30, 0.159, 0.477), (411, 500, 0.787, 0.854)],
)
def test_published_intervals(correct: int, total: int, low: float, high: float) -> None:
    """Worked by hand with 1.5 questions at 0 and 1.5 at 1: 20 of 20 is (21.5 / 23) +- 1.96 sqrt(pq / 23)."""
    found = intervals.mean_estimate(np.repeat([1.0, 0.0], [correct, total - correct]))
    assert found.ci95 == pytest.approx((low, high), abs=5e-4)
    # Near Agresti and Coull's for a binary rate, which adds 1.92 of each.
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    theirs = proportion.proportion_confint(correct, total, method="agresti_coull")
    assert found.ci95 == pytest.approx(theirs, abs=0.03)


def test_the_smoothed_error_is_never_0_and_hardly_larger_where_there_is_one() -> None:
    none_of_16 = intervals.smoothed_error(np.zeros(16))
    assert none_of_16 == pytest.approx(np.sqrt((1.5 / 19) * (17.5 / 19) / 19))
    assert intervals.smoothed_error(np.ones(16)) == pytest.approx(none_of_16)
    assert intervals.smoothed_error(np.array([1.0])) > 0
    rates = np.random.default_rng(0).beta(0.4, 0.4, 400)
    assert intervals.smoothed_error(rates) == pytest.approx(stats.sem(rates), rel=0.02)


def test_the_standard_errors_of_evaluation_are_the_clustered_and_the_resampled_one() -> None:
    """30 x 64: between questions as statsmodels' mean would have it; on this benchmark by simulation."""
    rng = np.random.default_rng(3)
    difficulty = rng.beta(0.3, 0.3, 30)
    correct = rng.binomial(64, difficulty).astype(float)
    rates = correct / 64
    assert intervals.mean_estimate(rates).stderr == pytest.approx(stats.sem(rates))
    again = (rng.binomial(64, difficulty, (20_000, 30)) / 64).mean(axis=1).std()
    assert intervals.benchmark_error(correct, np.full(30, 64.0)) == pytest.approx(again, rel=0.1)
    assert intervals.benchmark_error(correct, np.ones(30)) is None


def policies(
    rng: np.random.Generator, shape: tuple[int, int], shift: float, spread: float
) -> tuple[Floats, Floats]:
    """Rates of two policies on the same questions, U-shaped, apart by a noisy shift of the log-odds."""
    logits = rng.normal(0, 3, shape)
    return expit(logits), expit(logits + shift + spread * rng.normal(size=shape))


@cache
def true_shift(shift: float, spread: float) -> float:
    a, b = policies(np.random.default_rng(8), (1, 500_000), shift, spread)
    return float((a - b).mean())


@pytest.mark.parametrize(("shift", "spread"), [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (2.0, 1.0)])
@pytest.mark.parametrize(("n", "k"), [*SHAPES, (100, 8)])
def test_paired_intervals_cover(n: int, k: int, shift: float, spread: float) -> None:
    rng = np.random.default_rng(2)
    a, b = policies(rng, (2000, n), shift, spread)
    differences = (rng.binomial(k, a) - rng.binomial(k, b)) / k
    low, high = intervals.paired_interval(differences, 1 / k)
    truth = true_shift(shift, spread)
    assert 0.93 <= np.mean((low <= truth) & (truth <= high)) <= 0.985


def test_paired_intervals_are_never_points() -> None:
    """Where the two agree on every question, a difference that rare would have gone unseen."""
    same = intervals.paired_estimate(np.zeros(30), 1.0)
    assert (same.value, same.stderr) == (0.0, 0.0)
    assert same.low == -same.high
    assert 0.05 < same.high < 0.15
    assert intervals.paired_estimate(np.ones(30), 1 / 64).high == 1.0


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 5), (12, 3), (200, 260)])
def test_mcnemar_agrees_with_statsmodels(gained: int, lost: int) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    expected = tables.mcnemar([[50, gained], [lost, 50]], exact=True).pvalue
    assert intervals.mcnemar(gained, lost) == pytest.approx(float(expected))


@pytest.mark.parametrize("n", [8, 12])
def test_the_permutation_test_agrees_with_scipys_exact_one(n: int) -> None:
    rng = np.random.default_rng(n)
    differences = rng.integers(-4, 6, n) / 8
    expected = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
    ).pvalue
    assert intervals.permutation_p_value(differences) == pytest.approx(expected)


def test_the_permutation_tests_draws_agree_with_its_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(5).normal(0.2, 0.5, 18)
    exact = intervals.permutation_p_value(differences)
    monkeypatch.setattr(intervals, "EXACT_FLIPS", 0)
    drawn = intervals.permutation_p_value(differences)
    assert drawn == pytest.approx(exact, abs=5 * np.sqrt(exact / intervals.PERMUTATIONS))
    assert drawn == intervals.permutation_p_value(differences)
    assert intervals.permutation_p_value(np.full(200, 0.5)) == 1 / (intervals.PERMUTATIONS + 1)
    assert intervals.permutation_p_value(np.zeros(9)) == 1.0


def test_pairs_are_tested_together_at_the_level_they_state() -> None:
    """Eight models of equal skill: in at most 5% of studies any pair differs significantly."""
    rng = np.random.default_rng(11)
    found = 0
    for _ in range(100):
        rates = rng.binomial(4, rng.beta(0.5, 0.5, 30), (8, 30)) / 4
        found += bool((intervals.pairwise_p_values(rates) < 0.05).any())
    assert found <= 10


def test_a_pair_alone_is_tested_as_by_the_permutation_test() -> None:
    rng = np.random.default_rng(12)
    a = rng.binomial(8, 0.5, 40) / 8
    for b in (rng.binomial(8, 0.6, 40) / 8, a, np.clip(a + 0.5, 0, 1)):
        p_values = intervals.pairwise_p_values(np.stack([a, b]))
        assert (
            p_values[0, 1] == p_values[1, 0] == pytest.approx(intervals.permutation_p_value(b - a), abs=0.01)
        )
        assert p_values[0, 0] == 1.0


def test_holm_agrees_with_statsmodels() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005, 0.9, 0.03]
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    theirs = multitest.multipletests(p_values, method="holm")[1].tolist()
    assert intervals.holm(p_values) == pytest.approx(theirs)
    assert intervals.holm([]) == []


def trained(
    rng: np.random.Generator, logits: Floats, seeds: int, shift: float, between: float, k: int
) -> Floats:
    """Rates of ``seeds`` trained policies; each seed moves every question, and each question a little."""
    moved = logits + shift + rng.normal(0, between, (seeds, 1)) + rng.normal(0, 0.3, (seeds, logits.size))
    return rng.binomial(k, expit(moved)) / k


def simulate_arms(n: int, k: int, rounds: int, between: float) -> list[tuple[Floats, Floats]]:
    """Two recipes of three seeds each, half a unit of log-odds apart."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(rounds):
        logits = rng.normal(0, 2.5, n)
        arms = (trained(rng, logits, 3, shift, between, k) for shift in (0.5, 0.0))
        found.append((next(arms), next(arms)))
    return found


def true_difference(between: float) -> float:
    rng = np.random.default_rng(6)
    logits = rng.normal(0, 2.5, 1_000_000)
    noise = np.sqrt(between**2 + 0.3**2)
    first, second = rng.normal(0, noise, (2, logits.size))
    return float((expit(logits + 0.5 + first) - expit(logits + second)).mean())


@pytest.mark.parametrize(("n", "k", "between"), [(30, 8, 0.3), (100, 4, 0.6)])
def test_intervals_over_seeds_and_questions_cover(n: int, k: int, between: float) -> None:
    truth = true_difference(between)
    hits = [
        estimate.low <= truth <= estimate.high
        for a, b in simulate_arms(n, k, 1000, between)
        for estimate, _ in [intervals.arms_estimate(a, b, 1 / k)]
    ]
    assert 0.93 <= np.mean(hits) <= 0.985


@pytest.mark.slow
def test_the_percentile_bootstrap_covers_less_with_three_seeds() -> None:
    """The hierarchical bootstrap (seed -> question -> sample) on the same data, as the docstring says."""
    n, k, draws = 100, 4, 300
    truth, rng = true_difference(0.6), np.random.default_rng(7)
    hits = []
    for arms in simulate_arms(n, k, 300, 0.6):
        questions = rng.integers(0, n, (draws, 1, n))
        resampled = [arm[rng.integers(0, 3, (draws, 3, 1)), questions] for arm in arms]
        means = [(rng.binomial(k, arm) / k).mean(axis=(1, 2)) for arm in resampled]
        low, high = np.percentile(means[0] - means[1], [2.5, 97.5])
        hits.append(low <= truth <= high)
    assert np.mean(hits) < 0.9


def test_the_p_value_over_seeds_goes_with_the_interval() -> None:
    for a, b in simulate_arms(30, 8, 50, 0.3):
        estimate, p_value = intervals.arms_estimate(a, b, 1 / 8)
        assert (p_value < 0.05) == (not estimate.low <= 0 <= estimate.high)
        assert estimate.value == pytest.approx(a.mean() - b.mean())
