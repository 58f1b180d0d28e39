"""Places of many models: what the tests leave open, and groups that do not differ significantly."""

from __future__ import annotations

import numpy as np
import pytest

from evals.comparison.compare import Arm
from evals.comparison.ranking import rank
from evals.scores import Scores
from evals.stats.metrics import QuestionStats
from evals.task import TaskError

DIFFICULTY = np.random.default_rng(0).uniform(0.1, 0.9, 60)


def scores(shift: float, seed: int, first: int = 0) -> Scores:
    rates = np.clip(DIFFICULTY + shift, 0, 1)
    correct = np.random.default_rng(seed).binomial(8, rates)
    questions = tuple(QuestionStats(f"q{i}", 8, int(c)) for i, c in enumerate(correct, start=first))
    return Scores("aime", questions, "none needed")


def arm(name: str, *seeds: Scores) -> Arm:
    return Arm(name, tuple({"aime": one} for one in seeds))


def test_models_of_three_levels_are_three_groups() -> None:
    levels = {"low": -0.3, "middle": 0.0, "high": 0.3}
    arms = [arm(f"{name} {i}", scores(shift, 10 * i + k)) for k, (name, shift) in enumerate(levels.items())
            for i in range(5)]  # fmt: skip
    places = rank(arms, "aime")
    assert [place.name.split()[0] for place in places] == ["high"] * 5 + ["middle"] * 5 + ["low"] * 5
    assert [place.group for place in places] == [1] * 5 + [2] * 5 + [3] * 5
    assert [(place.best, place.worst) for place in places] == [(1, 5)] * 5 + [(6, 10)] * 5 + [(11, 15)] * 5
    values = [place.estimate.value for place in places]
    assert values == sorted(values, reverse=True)


def test_equal_models_share_every_rank() -> None:
    places = rank([arm(f"m{i}", scores(0.0, seed)) for i, seed in enumerate(range(20, 26))], "aime")
    assert {(place.best, place.worst, place.group) for place in places} == {(1, 6, 1)}


def test_seeds_of_a_model_are_one_place() -> None:
    places = rank(
        [
            arm("base", scores(-0.3, 1)),
            arm("trained", scores(0.2, 2), scores(0.25, 3), scores(0.3, 4)),
            arm("other", scores(-0.3, 5)),
        ],
        "aime",
    )
    assert places[0].name == "trained"
    assert (places[0].best, places[0].worst) == (1, 1)
    assert {place.group for place in places[1:]} == {2}


def test_only_common_questions_count() -> None:
    some = rank([arm("a", scores(0.0, 1)), arm("b", scores(0.0, 2, first=30))], "aime")
    assert len(some) == 2
    with pytest.raises(TaskError, match="fewer than two questions of aime in common"):
        rank([arm("a", scores(0.0, 1)), arm("b", scores(0.0, 2, first=60))], "aime")
