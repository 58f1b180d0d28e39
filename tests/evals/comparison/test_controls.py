"""The share of a gain that a control explains: its estimate, its interval's coverage, nothing to explain."""

from __future__ import annotations

import numpy as np
import pytest

from evals.comparison.compare import Arm
from evals.comparison.controls import explained
from evals.scores import Scores
from evals.stats.metrics import QuestionStats

SAMPLES = 16


def scores(rates: np.ndarray, rng: np.random.Generator) -> Scores:
    right = rng.binomial(SAMPLES, rates)
    questions = tuple(
        QuestionStats(id=str(i), n=SAMPLES, correct=int(count)) for i, count in enumerate(right)
    )
    return Scores(benchmark="b", questions=questions, isolation="none")


def arms(
    rng: np.random.Generator, gain: float, control: float, seeds: int = 3, questions: int = 60
) -> tuple[Arm, Arm, Arm]:
    """Each seed moves every question by its arm's gain and a bit more or less."""
    easy = rng.uniform(0.1, 0.5, questions)

    def arm(name: str, moved: float, count: int) -> Arm:
        lucks = rng.normal(0, 0.02, count) if count > 1 else [0.0]
        return Arm(name, tuple({"b": scores(np.clip(easy + moved + luck, 0, 1), rng)} for luck in lucks))

    return arm("base", 0.0, 1), arm("rl", gain, seeds), arm("rl-random", control, seeds)


def test_the_share_is_the_ratio_of_gains() -> None:
    [found] = explained(*arms(np.random.default_rng(0), 0.3, 0.15))
    assert found.share == pytest.approx(found.control_gain.value / found.gain.value)
    assert found.low is not None
    assert found.high is not None
    assert found.share is not None
    assert found.low <= found.share <= found.high
    assert "explains" in found.sentence


def test_its_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(40):
        [found] = explained(*arms(rng, 0.3, 0.12))
        assert found.low is not None
        assert found.high is not None
        covered.append(found.low <= 0.4 <= found.high)
    assert np.mean(covered) >= 0.85  # of 40: below 0.85 once in 70 where 95% is true


def test_without_a_gain_there_is_nothing_to_explain() -> None:
    [found] = explained(*arms(np.random.default_rng(2), 0.0, 0.0))
    assert (found.share, found.low, found.high) == (None, None, None)
    assert "no gain is shown" in found.sentence
