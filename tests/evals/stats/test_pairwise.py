"""The win rate of duels against a fitted Bradley-Terry model, and what its interval covers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from evals.duel import Duel
from evals.stats.metrics import QuestionStats
from evals.stats.pairwise import win_rate


def questions(duels: list[list[Duel]]) -> list[QuestionStats]:
    return [
        QuestionStats(str(i), max(1, len(each)), 0, duels=tuple(each), grader_errors=not each)
        for i, each in enumerate(duels)
    ]


def test_it_is_the_bradley_terry_prediction() -> None:
    rng = np.random.default_rng(0)
    duels = []
    for _ in range(60):
        weight = float(rng.choice([2, 4, 6]))
        duels.append([Duel(weight * float(rng.choice([0, 0.25, 0.5, 1])), weight, 1)])

    def unlikelihood(strength: float) -> float:
        """The weighted log likelihood of wins and losses, ties as half a win and half a loss."""
        won = sum(each[0].won for each in duels)
        lost = sum(each[0].weight for each in duels) - won
        return float(won * np.logaddexp(0, -strength) + lost * np.logaddexp(0, strength))

    strength = minimize_scalar(unlikelihood, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10}).x
    found = win_rate(questions(duels))
    assert found is not None
    assert found["value"] == pytest.approx(1 / (1 + np.exp(-strength)), abs=1e-6)


def test_nothing_judged_is_no_win_rate_and_what_was_not_judged_is_told() -> None:
    assert win_rate(questions([[], []])) is None
    found = win_rate(questions([[Duel(1, 1, 3)], []]))
    assert found is not None
    assert (found["value"], found["judged"], found["ungraded"]) == (1.0, 1, 1)


def test_winning_everything_is_not_certain() -> None:
    found = win_rate(questions([[Duel(6, 6, 1)] for _ in range(50)]))
    assert found is not None
    low, high = found["ci95"]
    assert (0.85 < low < 0.99, high) == (True, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("skill", [0.0, 2.0, -4.0])
def test_the_interval_covers(skill: float) -> None:
    """Simulated benchmarks of 100 questions, verdicts of three weights: 95% intervals hold the truth."""
    rng = np.random.default_rng(3)

    def one(rng: np.random.Generator) -> Duel:
        share = 1 / (1 + np.exp(-(skill + 1.5 * rng.normal())))
        points = [(3.0, 3.0), (1.0, 1.0), (0.5, 1.0), (0.0, 1.0), (0.0, 3.0)]
        chances = np.array([share**2 / 2, share**2 / 2 + share * (1 - share) / 2, share * (1 - share)])
        chances = np.append(chances, [share * (1 - share) / 2 + (1 - share) ** 2 / 2, (1 - share) ** 2 / 2])
        won, weight = points[rng.choice(5, p=chances / chances.sum())]
        return Duel(won, weight, 1)

    large = [one(rng) for _ in range(60_000)]
    truth = sum(duel.won for duel in large) / sum(duel.weight for duel in large)
    covered = 0
    for seed in range(200):
        found = win_rate(questions([[one(rng)] for _ in range(100)]), seed)
        assert found is not None
        covered += found["ci95"][0] <= truth <= found["ci95"][1]
    assert covered / 200 >= 0.92
