"""Reflection words, and wrong steps that are mended, in texts that are plain to count."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.engine import Completion
from evals.graders.base import Verdict
from evals.rollout import Rollout
from evals.task import Question
from harness.models.tiny.traces import Mixture, trace
from harness.train.grpo.reflection import (
    Corrections,
    corrections,
    evolution_metrics,
    reflection_markers,
    reflects,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Wait, that is wrong. Let me check: however, it may be an error.", 5),
        ("The butter checks out, waiting; errors are mistaken.", 0),  # whole words alone
        ("等等，这不对，我要检查。", 3),
        ("Moment, das ist falsch, ich prüfe es.", 3),
        ("", 0),
    ],
)
def test_markers_are_counted_by_language(text: str, count: int) -> None:
    assert reflection_markers(text) == count


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3+4=7, 7*2=14", Corrections(0, 0)),
        ("3+4=8, wait, 3+4=7", Corrections(1, 1)),
        ("3+4=8, wait, 3+4=9", Corrections(2, 0)),
        ("3+4=8, 3+5=8", Corrections(1, 0)),
        ("3+4=7, wait, 3+4=8", Corrections(1, 0)),  # a right step that is spoilt is not mended
        ("2-6 = -4, 5×5=25, 1.5+1=2.5", Corrections(0, 0)),
        ("9" * 400 + "+1=3", Corrections(0, 0)),
    ],
)
def test_a_wrong_step_is_mended_by_the_same_step_done_right(text: str, found: Corrections) -> None:
    assert corrections(text) == found


@given(st.text(alphabet="0123456789+-*=, wait", max_size=300))
def test_no_text_has_more_mended_than_wrong_steps(text: str) -> None:
    found = corrections(text)
    assert 0 <= found.mended <= found.wrong


def test_traces_that_mend_their_steps_are_seen_to() -> None:
    """The generator's own share of wrong steps that it mends: all of them, where it makes no other errors."""
    habits = {"sloppy": 0.0, "step_error": 0.0, "mixed_language": 0.0, "bad_format": 0.0, "rambling": 0.0}
    rng = random.Random(0)
    texts = [trace(rng, Mixture(mended=1.0, **habits))[1] for _ in range(300)]
    chains = [corrections(text) for text in texts if "wait" in text]
    assert len(chains) > 250
    # A slip may fall on an operand: then the step is right, or another one, and nothing is mended.
    assert sum(each.mended for each in chains) > 0.6 * sum(each.wrong for each in chains) > 0
    plain = [corrections(trace(rng, Mixture(mended=0.0, **habits))[1]) for _ in range(100)]
    assert all(each.wrong == 0 for each in plain)


def attempt(text: str, tokens: int) -> Rollout:
    completion = Completion(text, tuple(range(tokens)), (), "stop")
    return Rollout(Question("q", "What is 3+4?", "7"), "What is 3+4?", completion, Verdict("correct"), 100)


def test_metrics_of_a_step() -> None:
    found = evolution_metrics(
        [
            attempt("<think>so 3+4=8, wait, 3+4=7</think><answer>7</answer>", 30),
            attempt("<think>三 and 3+4=8</think><answer>8</answer>", 20),
        ]
    )
    assert found == {
        "reflection": pytest.approx(1000 / 50),
        "steps_wrong": 1.0,
        "self_correction": 0.5,
        "one_language": pytest.approx((1 + 1 / 2) / 2),
    }
    assert "self_correction" not in evolution_metrics([attempt("<think>so it is</think>", 4)])


def test_reflecting_is_a_marker_or_a_step_put_right() -> None:
    assert reflects("Wait, no.")
    assert reflects("等等")
    assert reflects("3+4=8, 3+4=7")
    assert not reflects("3+4=7, 3+4=7")
    assert not reflects("3+4=8")
