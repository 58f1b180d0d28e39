"""Standard errors, intervals and tests for per-question figures: plain arrays in, plain numbers out.

The estimand is the mean over the questions that the benchmark's questions are a sample of: questions,
not samples, are the independent units, however many samples each has.

Why not the textbook t interval: on a benchmark that is nearly solved (or nearly unsolved) almost every
question has the same rate, the sample standard deviation is near 0, and the interval shrinks to a point
that covers the truth in as little as a tenth of the cases. tests/evals/test_statistics.py simulates this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

Z = float(stats.norm.ppf(0.975))
PSEUDO_QUESTIONS = 1.5
"""Imagined questions at rate 0, and as many at rate 1, in the interval of a mean."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error and 95% interval, all in the figure's own unit."""

    value: float
    stderr: float
    low: float
    high: float

    @property
    def ci95(self) -> tuple[float, float]:
        return self.low, self.high


def mean_estimate(values: Floats) -> Estimate:
    """The mean of per-question rates (each in [0, 1]), for questions like these.

    ``stderr`` is the question-clustered sd/sqrt(n) (0 for a single question). The interval is a normal
    one after adding ``PSEUDO_QUESTIONS`` questions at 0 and at 1, cut to [0, 1]: the generalisation to
    fractional rates of Agresti and Coull's interval for binary ones (1998, The American Statistician 52).
    Simulated coverage is 94 to 97% for U-shaped difficulties at 30 x 64, 500 x 4 and 164 x 1, and at
    least 93% (mostly above 96%) near 0 and 1 and where all questions agree; with ten questions it is
    wide (98%).
    """
    if not len(values):
        raise ValueError("the mean of no questions is not defined")
    low, high = bounded_mean_interval(values)
    value = float(np.mean(values))
    return Estimate(value, standard_error(values), min(float(low), value), max(float(high), value))


def bounded_mean_interval(values: Floats) -> tuple[Floats, Floats]:
    """The 95% interval of ``mean_estimate`` over the last axis, which holds the questions."""
    total = values.shape[-1] + 2 * PSEUDO_QUESTIONS
    centre = (values.sum(axis=-1) + PSEUDO_QUESTIONS) / total
    variance = ((values**2).sum(axis=-1) + PSEUDO_QUESTIONS) / total - centre**2
    half = Z * np.sqrt(variance / total)
    return np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)


def standard_error(values: Floats) -> float:
    """sd/sqrt(n) with n - 1 degrees of freedom; 0 for a single value."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def smoothed_error(values: Floats) -> float:
    """The standard error of a mean of rates that is never 0: from the variance that ``mean_estimate`` uses.

    For what is compared or pruned by its standard error: 0 right of 16 does not mean that it is known.
    """
    total = len(values) + 2 * PSEUDO_QUESTIONS
    centre = (values.sum() + PSEUDO_QUESTIONS) / total
    return float(np.sqrt((((values**2).sum() + PSEUDO_QUESTIONS) / total - centre**2) / total))


def benchmark_error(correct: Floats, samples: Floats) -> float | None:
    """The standard error of pass@1 on these very questions, were they sampled anew.

    sqrt(sum p(1-p)/(k-1))/n with p = c/k; None where a question has a single sample, which says nothing
    about how another one would fall.
    """
    if np.any(samples < 2):
        return None
    rates = correct / samples
    return float(np.sqrt(np.sum(rates * (1 - rates) / (samples - 1))) / len(rates))


def paired_estimate(differences: Floats, resolution: float) -> Estimate:
    """The mean difference of two policies over the same questions, each difference in [-1, 1].

    ``resolution`` is the least squared difference that one question could have shown (1/k for pass@1 from
    k samples). The plain t interval has two failings that this one mends: it has width 0 where all
    questions agree (one least difference is added to the sum of squares), and it is too narrow where few
    questions carry all the difference (its degrees of freedom come from the kurtosis, as in
    Satterthwaite's approximation of the variance of s^2). ``stderr`` stays the plain sd/sqrt(n).
    """
    if not len(differences):
        raise ValueError("the mean difference over no questions is not defined")
    value = float(np.mean(differences))
    low, high = paired_interval(differences, resolution)
    return Estimate(value, standard_error(differences), float(low), float(high))


def paired_interval(differences: Floats, resolution: float) -> tuple[Floats, Floats]:
    """The 95% interval of ``paired_estimate`` over the last axis, which holds the questions."""
    n = differences.shape[-1]
    mean = differences.mean(axis=-1)
    deviations = differences - mean[..., np.newaxis]
    squares = (deviations**2).sum(axis=-1) + resolution
    fourths = (deviations**4).sum(axis=-1) + resolution**2 / 2
    excess = np.maximum(n * fourths / squares**2 - 1, 1e-9)
    freedom = np.clip(2 * n / excess, 1, max(1, n - 1))
    half = stats.t.ppf(0.975, freedom) * np.sqrt(squares / (n * max(1, n - 1)))
    return np.maximum(-1.0, mean - half), np.minimum(1.0, mean + half)


def arms_estimate(a: Floats, b: Floats, resolution: float) -> tuple[Estimate, float]:
    """The difference of two ways of training, over new training seeds and new questions, and its p-value.

    ``a`` and ``b`` hold rates of shape (seeds, questions), the questions the same ones in the same order;
    an arm with a single row is a fixed policy, such as a base model. ``resolution`` is as for
    ``paired_estimate``, from one row's samples.

    Seeds and questions are crossed, so the variance is that of the seed-averaged differences between
    questions, /n, plus for each trained arm that of its rows' means, /seeds; the degrees of freedom are
    Satterthwaite's. Samples need no term of their own: their noise is in both already. A percentile
    bootstrap over seeds, questions and samples aims at the same variance, but with three seeds it knows
    nothing of the t distribution's tails: in the simulation of tests/evals/test_statistics.py it covers
    less than 90% where this interval covers 95%.
    """
    differences = a.mean(axis=0) - b.mean(axis=0)
    n = len(differences)
    if n < 2:
        raise ValueError("two arms need at least two questions in common")
    squares = float(((differences - differences.mean()) ** 2).sum()) + resolution / min(len(a), len(b))
    terms = [(squares / (n * (n - 1)), n - 1)]
    terms += [
        (float(arm.mean(axis=1).var(ddof=1)) / len(arm), len(arm) - 1) for arm in (a, b) if len(arm) > 1
    ]
    variance = sum(term for term, _ in terms)
    freedom = variance**2 / sum(term**2 / degrees for term, degrees in terms)
    value, stderr = float(differences.mean()), float(np.sqrt(variance))
    half = float(stats.t.ppf(0.975, freedom)) * stderr
    p_value = 2 * float(stats.t.sf(abs(value) / stderr, freedom))
    return Estimate(value, stderr, max(-1.0, value - half), min(1.0, value + half)), p_value


def mcnemar(gained: int, lost: int) -> float:
    """McNemar's exact p-value for one sample a question: are gains and losses equally likely?"""
    if gained + lost == 0:
        return 1.0
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue)


EXACT_FLIPS = 20
PERMUTATIONS = 100_000


def permutation_p_value(differences: Floats, seed: int = 0) -> float:
    """The sign-flip test of a zero mean difference, two-sided.

    Under the null hypothesis each question's difference could as well have the other sign. All sign
    patterns are enumerated for up to ``EXACT_FLIPS`` non-zero differences; beyond, ``PERMUTATIONS`` seeded
    draws, counting the observed one, so that p is never 0 (Phipson and Smyth 2010).
    """
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0
    threshold = abs(float(moved.sum())) * (1 - 1e-12) - 1e-12  # ties must not hinge on rounding
    if len(moved) <= EXACT_FLIPS:
        sums = np.zeros(1)
        for size in moved:
            sums = np.concatenate([sums + size, sums - size])
        return float(np.mean(np.abs(sums) >= threshold))
    rng = np.random.default_rng(seed)
    extreme = 0
    block = max(1, 4_000_000 // len(moved))
    for start in range(0, PERMUTATIONS, block):
        signs = rng.integers(0, 2, size=(min(block, PERMUTATIONS - start), len(moved)), dtype=np.int8)
        extreme += int(np.count_nonzero(np.abs((2.0 * signs - 1.0) @ moved) >= threshold))
    return (extreme + 1) / (PERMUTATIONS + 1)


PAIRWISE_PERMUTATIONS = 20_000


def pairwise_p_values(rates: Floats, seed: int = 0) -> Floats:
    """The sign-flip test between every two rows of ``rates`` (models, questions), for all pairs together.

    Single-step maxT of Westfall and Young (1993): a pair's p-value is the share of sign patterns in which
    the largest standardised difference of any pair reaches this pair's. It accounts for how many pairs
    there are and how much they have in common, and may be read at 5% for all of them. Shape (models, models).
    """
    models, questions = rates.shape
    products = rates @ rates.T
    squares = np.diag(products)[:, np.newaxis] + np.diag(products) - 2 * products
    # A pair that agrees on every question (but for rounding) has nothing to be tested.
    scale = np.where(squares > 1e-9, np.sqrt(np.maximum(squares, 1e-9)), np.inf)
    totals = rates.sum(axis=1)
    observed = np.abs(totals[:, np.newaxis] - totals) / scale
    rng = np.random.default_rng(seed)
    largest = np.empty(PAIRWISE_PERMUTATIONS)
    block = max(1, 4_000_000 // (models * models + questions))
    for start in range(0, PAIRWISE_PERMUTATIONS, block):
        size = min(block, PAIRWISE_PERMUTATIONS - start)
        signs = 2.0 * rng.integers(0, 2, size=(size, questions), dtype=np.int8) - 1.0
        sums = signs @ rates.T
        apart = np.abs(sums[:, :, np.newaxis] - sums[:, np.newaxis, :]) / scale
        largest[start : start + size] = apart.max(axis=(1, 2))
    largest.sort()
    # Ties must not hinge on rounding; the observed pattern is counted, so that p is never 0.
    reached = PAIRWISE_PERMUTATIONS - np.searchsorted(largest, observed * (1 - 1e-9))
    p_values: Floats = (reached + 1) / (PAIRWISE_PERMUTATIONS + 1)
    return p_values


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: p-values that may be read at 5% together, in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
