"""A rollout carries what becomes of a response, and its row on disk gives it back."""

from __future__ import annotations

import json

import pytest

from evals.duel import Duel
from evals.engine import Completion, Usage
from evals.graders.base import Verdict
from evals.graders.integer import IntegerGrader
from evals.records import Sample, parse_sample, token_row
from evals.rollout import Rollout, graded
from evals.task import Question
from harness.rewards import Attempt

QUESTION = Question("q", "2+2?", "4")


@pytest.mark.parametrize(
    "completion",
    [
        Completion("<think>a</think> 4", (5, 6, 7), (), "length"),
        Completion("4", (), (), "stop", Usage(12, 3)),
        Completion("4", (), (), "stop", Usage(None, None)),
    ],
)
def test_a_row_gives_its_rollout_back(completion: Completion) -> None:
    verdict = Verdict("correct", "4", "box", Duel(0.75, 1.0, 12))
    rollout = Rollout(QUESTION, "2+2? ", completion, verdict, sample=3)
    row = json.loads(json.dumps(Sample.of(rollout, seconds=0.5).as_row()))
    sample = parse_sample(row)
    assert sample.rollout(QUESTION, "2+2? ", completion.token_ids) == rollout
    assert (sample.tokens, sample.prompt, sample.duel) == (completion.tokens, "2+2? ", verdict.duel)
    assert token_row(rollout)["sample"] == 3


def test_nothing_counts_as_wrong_before_it_is_graded() -> None:
    before = [
        Rollout(QUESTION, "", Completion(text, (1,), (), "stop")) for text in ("\\boxed{4}", "\\boxed{5}")
    ]
    assert [rollout.verdict.status for rollout in before] == ["grader_error"] * 2
    assert [rollout.verdict.status for rollout in graded(IntegerGrader(), before)] == ["correct", "wrong"]


def test_rewards_that_were_written_for_an_attempt_get_a_rollout() -> None:
    assert Attempt is Rollout
