"""What a question's samples amount to, and the estimators computed from that.

Everything printed about a benchmark derives from one ``QuestionStats`` per question, so that two figures
cannot disagree about what was counted. Estimators return one value per question; the benchmark's value is
their mean, and intervals for it are in evals/stats/intervals.py.

Notation: of N samples of a question, c are correct.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from evals.duel import Duel

Floats = NDArray[np.float64]

EXACT_VOTES = 256
"""Up to so many samples a question, cons@k is computed exactly; beyond, by Monte Carlo."""
MONTE_CARLO_DRAWS = 200_000
"""Draws for each k, spread over a benchmark's questions (at least ``MINIMUM_DRAWS`` per question)."""
MINIMUM_DRAWS = 256
MONTE_CARLO_CELLS = 5_000_000
"""Draws x classes of one question and k, at most: fewer draws where a question has thousands of answers."""
CELLS_AT_ONCE = 2_000_000
"""Draws x classes held at once, of 8 bytes each: memory does not grow with samples."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One class of equivalent answers: how many samples gave it, and whether it is the right one."""

    answer: str
    count: int
    correct: bool


@dataclass(frozen=True, slots=True)
class QuestionStats:
    """The sufficient statistics of one question's samples.

    ``votes`` are the answer classes by first appearance; samples in none abstained (no answer could be
    read, the length limit cut it, or the task's answers cannot be voted on). ``duplicates`` counts samples
    whose response another sample of the question has too. ``unparsed`` and ``truncated`` are None where it is
    not known how many were. ``tokens`` is their total, over all and over
    correct samples, and None where it was not recorded. ``duels`` are there where a judge compared responses
    with a baseline's answer, one for each response that was judged. ``timeouts`` counts programs whose
    seconds were up.
    """

    id: str
    n: int
    correct: int
    votes: tuple[Vote, ...] = ()
    unparsed: int | None = 0
    truncated: int | None = 0
    grader_errors: int = 0
    duplicates: int = 0
    tokens: int | None = None
    tokens_correct: int | None = None
    duels: tuple[Duel, ...] = ()
    timeouts: int = 0

    @property
    def rate(self) -> float:
        """The share of correct samples, c/N; where answers were compared, what they won, a tie being half."""
        if self.duels:
            return sum(duel.share for duel in self.duels) / self.n
        return self.correct / self.n

    @property
    def abstained(self) -> int:
        return self.n - sum(vote.count for vote in self.votes)


def repeats_itself(questions: Sequence[QuestionStats]) -> bool:
    """Whether several samples were drawn of every question and all of a question are one response.

    Greedy sampling does that: the further samples then say nothing that the first did not.
    """
    return bool(questions) and all(0 < question.n - 1 == question.duplicates for question in questions)


def pass_at_1(questions: Sequence[QuestionStats]) -> Floats:
    """c/N, or the mean share won, for each question."""
    return np.array([question.rate for question in questions])


def pass_at_k(questions: Sequence[QuestionStats], k: int) -> Floats:
    """The probability that at least one of k samples is right: 1 - C(N-c, k)/C(N, k), for each question.

    Unbiased for k <= N (Chen et al. 2021, Codex), computed as a product so that nothing overflows.
    """
    return np.array([1.0 - _none_of(question.correct, question.n, k) for question in questions])


def pass_hat_k(questions: Sequence[QuestionStats], k: int) -> Floats:
    """The probability that k samples are all right, pass^k: C(c, k)/C(N, k), for each question."""
    return np.array([_none_of(question.n - question.correct, question.n, k) for question in questions])


@lru_cache(maxsize=1 << 16)
def _none_of(marked: int, total: int, k: int) -> float:
    """C(total - marked, k)/C(total, k): drawing k of ``total`` without replacement, none is marked."""
    if not 1 <= k <= total:
        raise ValueError(f"k must be between 1 and the {total} samples of the question, got {k}")
    if k > total - marked:
        return 0.0
    factors = 1.0 - marked / np.arange(total - k + 1, total + 1)
    return float(np.prod(factors))


@dataclass(frozen=True)
class VoteCredit:
    """cons@k for each question, and the Monte Carlo error of their mean (0 where all are exact)."""

    values: Floats
    error: float


def cons_at_k(questions: Sequence[QuestionStats], k: int, seed: int = 0) -> VoteCredit:
    """The expected credit of a majority vote among k samples drawn without replacement, per question.

    The most frequent class wins; of m classes tied at the top a right one earns 1/m; samples without an
    answer abstain, and where all k do the credit is 0. Exact for up to ``EXACT_VOTES`` samples; beyond,
    the mean of seeded draws, whose standard error is stated.
    """
    return cons_curve(questions, [k], seed)[0]


def cons_curve(questions: Sequence[QuestionStats], ks: Sequence[int], seed: int = 0) -> list[VoteCredit]:
    """``cons_at_k`` for several k at the price of little more than one."""
    draws = max(MINIMUM_DRAWS, MONTE_CARLO_DRAWS // max(1, len(questions)))
    values = np.zeros((len(ks), len(questions)))
    errors = np.zeros((len(ks), len(questions)))
    for index, question in enumerate(questions):
        if ks and not 1 <= min(ks) <= max(ks) <= question.n:
            raise ValueError(f"k must be between 1 and the {question.n} samples of {question.id}, got {ks}")
        classes = tuple(sorted((vote.count, vote.correct) for vote in question.votes))
        if question.n <= EXACT_VOTES:
            values[:, index] = _exact_credit(classes, question.n)[np.array(ks, dtype=int) - 1]
            continue
        for row, k in enumerate(ks):
            rng = np.random.default_rng([seed, index, k])
            values[row, index], errors[row, index] = _drawn_credit(classes, question.n, k, draws, rng)
    error = np.sqrt((errors**2).sum(axis=1)) / max(1, len(questions))
    return [VoteCredit(values[row], float(error[row])) for row in range(len(ks))]


@lru_cache(maxsize=4096)
def _exact_credit(classes: tuple[tuple[int, bool], ...], total: int) -> Floats:
    """The credit for every k = 1…total at once, shape (total,).

    Summed over the winning count m and each right class: that class is drawn m times, every other class
    at most m times, t of them exactly m times, for a credit of 1/(1 + t). Polynomials in y (samples
    drawn) count the ways; classes smaller than m are unconstrained and join the abstentions.
    """
    credit = np.zeros(total + 1)
    binomials = _binomials(total)
    for m in range(1, max((count for count, correct in classes if correct), default=0) + 1):
        large = [(count, correct) for count, correct in classes if count >= m]
        free = total - sum(count for count, _ in large)
        for size, right in {(count, correct) for count, correct in large if correct}:
            rivals = list(large)
            rivals.remove((size, right))
            copies = large.count((size, right))
            ways = _ways([count for count, _ in rivals], m, binomials[free], binomials)
            shares = 1.0 / np.arange(1, len(ways) + 1)
            weighted = shares @ ways
            credit[m:] += copies * binomials[size, m] * weighted[: total + 1 - m]
    values: Floats = credit[1:] / binomials[total, 1:]
    values.setflags(write=False)
    return values


def _ways(rivals: Sequence[int], m: int, free: Floats, binomials: Floats) -> Floats:
    """Ways to draw s samples from ``rivals`` and the free pool with t rivals at m, none above: [t, s]."""
    width = len(free)
    ways = np.zeros((len(rivals) + 1, width))
    ways[0] = free
    for number, size in enumerate(rivals, start=1):
        below = np.zeros((number + 1, width))
        for drawn in range(min(m, size + 1)):
            below[:, drawn:] += binomials[size, drawn] * ways[: number + 1, : width - drawn]
        below[1:, m:] += binomials[size, m] * ways[:number, : width - m]
        ways[: number + 1] = below
    return ways


@lru_cache(maxsize=8)
def _binomials(total: int) -> Floats:
    """C(n, r) for 0 <= n, r <= total, in float64 (largest entry below 1e76 for total = 256)."""
    return np.array([[float(comb(n, r)) for r in range(total + 1)] for n in range(total + 1)])


def _drawn_credit(
    classes: tuple[tuple[int, bool], ...], total: int, k: int, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """The credit by Monte Carlo, and its standard error."""
    if not any(correct for _, correct in classes):
        return 0.0, 0.0
    several = [(count, correct) for count, correct in classes if count > 1]
    single = [correct for count, correct in classes if count == 1]  # all alike: two pools of their own
    counts = [*(count for count, _ in several), sum(single), len(single) - sum(single)]
    pool = np.array([*counts, total - sum(counts)], dtype=np.int64)
    right = np.array([correct for _, correct in several], dtype=bool)
    draws = min(draws, max(MINIMUM_DRAWS, MONTE_CARLO_CELLS // len(pool)))
    block = max(1, CELLS_AT_ONCE // len(pool))
    credits = np.concatenate(
        [
            _credits(rng.multivariate_hypergeometric(pool, k, size=min(block, draws - start)), right)
            for start in range(0, draws, block)
        ]
    )
    return float(credits.mean()), float(credits.std(ddof=1) / np.sqrt(draws))


def _credits(drawn: NDArray[np.int64], right: NDArray[np.bool_]) -> Floats:
    """The credit of each vote, a row of ``drawn`` per vote.

    Columns: the classes of several samples (``right`` says which are), the right answers that a single
    sample gave, the wrong ones, and the abstentions.
    """
    classes, right_single, single = drawn[:, : len(right)], drawn[:, -3], drawn[:, -3:-1].sum(axis=1)
    top = np.maximum(classes.max(axis=1, initial=0), single > 0)
    wins = (classes == top[:, np.newaxis]) & (top > 0)[:, np.newaxis]
    winners = wins.sum(axis=1) + np.where(top == 1, single, 0)
    right_winners = wins[:, right].sum(axis=1) + np.where(top == 1, right_single, 0)
    credits: Floats = right_winners / np.maximum(1, winners)
    return credits
