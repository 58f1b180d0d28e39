"""The coin: fair, independent of the text, the same again."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from evals.engine import Completion
from evals.graders.base import Verdict
from evals.task import Question
from harness.config import RewardTerm
from harness.rewards import Rollout
from harness.rewards.registry import make_reward


def attempts(count: int, text: str = "the same", logprob: float = -0.5) -> list[Rollout]:
    return [
        Rollout(
            Question(f"q{i // 8}", "?", ""),
            "?",
            Completion(text, (1,), (logprob - i // 8,), "stop"),
            Verdict("wrong"),
            9,
        )
        for i in range(count)
    ]


def test_it_is_a_coin_for_each_completion_even_of_one_text() -> None:
    reward = make_reward("random", RewardTerm(weight=1.0))
    every = attempts(4000)
    groups = [every[first : first + 8] for first in range(0, 4000, 8)]
    values = [list(reward(group)) for group in groups]
    assert {value for group in values for value in group} == {0.0, 1.0}
    mean = fmean(value for group in values for value in group)  # type: ignore[misc]
    assert abs(mean - 0.5) < 0.03  # 4000 coins: 3.8 standard errors
    assert sum(len(set(group)) == 1 for group in values) < 15  # of 500 fair groups, 4 on average
    assert [list(reward(group)) for group in groups] == values


def test_another_policy_tosses_again_and_the_probability_is_a_setting() -> None:
    reward = make_reward("random", RewardTerm(weight=1.0, settings={"probability": 0.1}))
    group = attempts(4000)
    first = list(reward(group))
    assert abs(fmean(first) - 0.1) < 0.02  # type: ignore[arg-type]
    moved = [
        replace(each, completion=replace(each.completion, logprobs=(each.completion.logprobs[0] - 1e-6,)))
        for each in group
    ]
    assert list(reward(moved)) != first
