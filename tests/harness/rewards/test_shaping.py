"""Cosine length, repetition and consistency: against TRL, and against attempts to game them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.engine import Completion
from evals.graders.base import Verdict
from evals.rollout import Rollout
from evals.task import Question
from harness.rewards.consistency import consistency
from harness.rewards.cosine import cosine
from harness.rewards.repetition import NGRAM, repetition


def attempt(text: str = "", ids: tuple[int, ...] = (1,), *, status: Any = "correct") -> Rollout:
    completion = Completion(text, ids, (-1.0,) * len(ids), "stop")
    return Rollout(Question("q", "2+2?", "4", {}), "2+2?", completion, Verdict(status), 100)


@pytest.mark.parametrize("tokens", [1, 25, 50, 99, 100])
@pytest.mark.parametrize(("status", "answer"), [("correct", "4"), ("wrong", "5")])
def test_cosine_is_trl_s(tokens: int, status: str, answer: str) -> None:
    trl_rewards = pytest.importorskip("trl.rewards")
    theirs = trl_rewards.get_cosine_scaled_reward(max_len=100)(
        [[{"role": "assistant", "content": rf"\boxed{{{answer}}}"}]], ["$4$"], [[0] * tokens]
    )
    assert cosine(attempt(ids=(0,) * tokens, status=status)) == pytest.approx(theirs[0], abs=1e-12)


def test_no_length_makes_a_wrong_answer_worth_a_right_one() -> None:
    longest_right = cosine(attempt(ids=(0,) * 100))
    best_wrong = max(cosine(attempt(ids=(0,) * n, status="wrong")) or 0 for n in range(1, 101))
    assert longest_right is not None
    assert longest_right > best_wrong


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), max_size=60))
def test_repetition_is_trl_s(ids: list[int]) -> None:
    trl_rewards = pytest.importorskip("trl.rewards")
    (theirs,) = trl_rewards.get_repetition_penalty_reward(ngram_size=NGRAM)([ids])
    assert repetition(attempt(ids=tuple(ids))) == pytest.approx(theirs, abs=1e-12)


def test_a_thousand_copies_cost_nearly_everything() -> None:
    once = tuple(range(20))
    assert repetition(attempt(ids=once)) == 0
    value = repetition(attempt(ids=once * 1000))
    assert value is not None
    assert value < -0.99


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>2 + 2 = 4</think><answer>4</answer>", 1),
        ("<think>so the answer is 4.</think>\nThe answer is $4$.", 1),
        (r"<think>thus \boxed{\frac{1}{2}}</think><answer>\frac12</answer>", 1),
        ("<think>2 + 2 = 5</think><answer>4</answer>", 0),
        ("<think></think><answer>4</answer>", 0),
        ("<think>four, I should think</think><answer>4</answer>", 0),
        ("<answer>4</answer>", 0),
        ("<think>2 + 2 = 4</think>", 0),
        ("<think>4<answer>4</answer></think>", 0),
        ("<think>4</think><answer>4", 0),
        ("", 0),
        ("4 " * 1000, 0),
    ],
)
def test_consistency_wants_the_reasoning_to_arrive_at_the_answer(text: str, value: float) -> None:
    assert consistency(attempt(text)) == value
