"""Estimators against brute force over every subsample, and against the formulas they stand for."""

from __future__ import annotations

import tracemalloc
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evals.stats import metrics
from evals.stats.metrics import QuestionStats, Vote, cons_at_k, cons_curve, pass_at_1, pass_at_k, pass_hat_k


def question(counts: list[tuple[int, bool]], abstained: int = 0) -> QuestionStats:
    votes = tuple(Vote(str(index), count, right) for index, (count, right) in enumerate(counts))
    correct = sum(vote.count for vote in votes if vote.correct)
    return QuestionStats("q", abstained + sum(vote.count for vote in votes), correct, votes)


def brute_force_vote(asked: QuestionStats, k: int) -> float:
    """The mean credit over every subset of k samples, by its definition."""
    pool: list[int | None] = [i for i, vote in enumerate(asked.votes) for _ in range(vote.count)]
    pool += [None] * asked.abstained
    credits = []
    for subset in combinations(pool, k):
        cast = [vote for vote in subset if vote is not None]
        most = max((cast.count(vote) for vote in cast), default=0)
        winners = [vote for vote in set(cast) if cast.count(vote) == most]
        credits.append(np.mean([asked.votes[vote].correct for vote in winners]) if winners else 0.0)
    return float(np.mean(credits))


classes = st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=5)


@settings(max_examples=80, deadline=None)
@given(counts=classes, abstained=st.integers(0, 3))
def test_votes_equal_brute_force_over_all_subsamples(counts: list[tuple[int, bool]], abstained: int) -> None:
    asked = question(counts[:3], abstained)
    for k in range(1, asked.n + 1):
        assert cons_at_k([asked], k).values[0] == pytest.approx(brute_force_vote(asked, k), abs=1e-12)


def test_a_tie_earns_its_share_and_abstentions_never_win() -> None:
    assert cons_at_k([question([(2, True), (2, False), (1, False)])], 5).values[0] == 0.5
    assert cons_at_k([question([(1, True)], abstained=7)], 8).values[0] == 1.0
    assert cons_at_k([question([], abstained=4)], 4).values[0] == 0.0


@settings(max_examples=40, deadline=None)
@given(counts=classes, abstained=st.integers(1, 20))
def test_one_vote_is_pass_at_1(counts: list[tuple[int, bool]], abstained: int) -> None:
    asked = [question(counts, abstained)]
    assert cons_at_k(asked, 1).values == pytest.approx(pass_at_1(asked))


def test_monte_carlo_agrees_with_the_exact_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [question([(20, True), (18, False), (9, True)], 3), question([(5, False), (4, True)], 41)]
    ks = [2, 7, 50]
    exact = cons_curve(asked, ks)
    assert [credit.error for credit in exact] == [0.0, 0.0, 0.0]
    monkeypatch.setattr(metrics, "EXACT_VOTES", 10)
    drawn = cons_curve(asked, ks)
    for one, other in zip(exact, drawn, strict=True):
        assert abs(one.values.mean() - other.values.mean()) < 4 * other.error + 1e-12
    assert 0 < drawn[1].error < 0.002
    assert drawn[2].error == 0.0  # all 50 of 50: nothing is left to chance
    assert np.array_equal(cons_curve(asked, [7])[0].values, drawn[1].values)


def test_the_vote_of_64_is_exact_at_size() -> None:
    """64 samples in many classes against 200,000 draws by numpy's own sampler."""
    counts = [12, 11, 9, 8, 6, 5, 4, 3, 2, 1, 1]
    asked = question([(count, index == 1) for index, count in enumerate(counts)], 2)
    drawn = np.random.default_rng(0).multivariate_hypergeometric([*counts, 2], 16, size=200_000)[:, :-1]
    top = drawn == drawn.max(axis=1, keepdims=True)
    credit = top[:, 1] / top.sum(axis=1)
    error = credit.std() / np.sqrt(len(credit))
    assert abs(cons_at_k([asked], 16).values[0] - credit.mean()) < 4 * error


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 300), data=st.data())
def test_pass_at_k_is_the_hypergeometric_probability(n: int, data: st.DataObject) -> None:
    correct, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    asked = [QuestionStats("q", n, correct)]
    assert pass_at_k(asked, k)[0] == pytest.approx(1 - comb(n - correct, k) / comb(n, k), abs=1e-12)
    assert pass_at_k(asked, k)[0] == pytest.approx(stats.hypergeom(n, correct, k).sf(0), abs=1e-9)
    assert pass_hat_k(asked, k)[0] == pytest.approx(comb(correct, k) / comb(n, k), abs=1e-12)


def test_pass_at_k_is_unbiased_for_fewer_samples() -> None:
    """The mean estimate of pass@4 over draws of 10 samples is 1 - (1 - p)^4."""
    drawn = np.random.default_rng(0).binomial(10, 0.3, size=40_000)
    mean = pass_at_k([QuestionStats("q", 10, int(correct)) for correct in drawn], 4).mean()
    assert mean == pytest.approx(1 - 0.7**4, abs=0.005)


@pytest.mark.parametrize("estimator", [pass_at_k, pass_hat_k, cons_at_k])
@pytest.mark.parametrize("k", [0, 5])
def test_more_samples_than_there_are_is_an_error(estimator: object, k: int) -> None:
    with pytest.raises(ValueError, match="k must be between 1 and the 4 samples"):
        estimator([question([(4, True)])], k)  # type: ignore[operator]


def test_single_answers_are_drawn_as_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many answers that one sample gave, right ones among them: the draws agree with the exact vote."""
    asked = [question([(3, True), (2, False), *[(1, False)] * 12, (1, True)], 2), question([(1, True)], 19)]
    exact = cons_curve(asked, [1, 3, 8])
    monkeypatch.setattr(metrics, "EXACT_VOTES", 5)
    for one, other in zip(exact, cons_curve(asked, [1, 3, 8]), strict=True):
        assert abs(one.values.mean() - other.values.mean()) < 4 * other.error + 1e-12


def test_draws_in_blocks_are_as_good_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [question([(20, True), (18, False), (9, True)], 3)]
    exact = cons_at_k(asked, 7).values[0]
    monkeypatch.setattr(metrics, "EXACT_VOTES", 10)
    monkeypatch.setattr(metrics, "CELLS_AT_ONCE", 100)
    monkeypatch.setattr(metrics, "MONTE_CARLO_CELLS", 60_000)
    drawn = cons_at_k(asked, 7)
    assert abs(drawn.values[0] - exact) < 4 * drawn.error
    assert drawn.error == pytest.approx(
        0.5 / np.sqrt(12_000), rel=0.3
    )  # 60,000 cells in rows of 5 (with ties)


def test_twenty_thousand_samples_of_one_question_fit_in_memory() -> None:
    """All draws of all classes at once took 21.5 GB."""
    rng = np.random.default_rng(0)
    _, counts = np.unique(rng.zipf(1.3, 20_000), return_counts=True)
    asked = question([(int(count), index == 1) for index, count in enumerate(counts)])
    tracemalloc.start()
    drawn = cons_at_k([asked], 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    assert 0 < drawn.error < 0.01


def test_equal_samples_are_seen() -> None:
    equal = [QuestionStats("a", 8, 8, duplicates=7), QuestionStats("b", 8, 0, duplicates=7)]
    assert metrics.repeats_itself(equal)
    assert not metrics.repeats_itself([*equal, QuestionStats("c", 8, 3, duplicates=6)])
    assert not metrics.repeats_itself([QuestionStats("a", 1, 1)])
    assert not metrics.repeats_itself([])
