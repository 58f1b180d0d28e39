"""A grader that fails on a response fails on that one alone and says so, wherever responses are graded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from evals import audit as audits
from evals.engine import Completion
from evals.graders import safe
from evals.graders.base import Grader, Response, Verdict
from evals.graders.choice import ChoiceGrader
from evals.graders.integer import IntegerGrader
from evals.recorded import score_file
from evals.task import Question, Task
from harness.config import GRPO
from harness.rewards.accuracy import accuracy
from harness.train import rollouts
from harness.train.stream import Prompt


class Fragile(IntegerGrader):
    """Raises for a response that holds "boom", and for the votes on such an answer."""

    def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
        if any("boom" in response.text for _, response in items):
            raise IndexError("tuple index out of range")
        return super().grade(items)

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        if len(answers) > 2:
            raise RecursionError("maximum recursion depth exceeded")
        return super().vote_classes(question, answers)


QUESTION = Question("q", "", "5")


def test_only_the_response_at_fault_is_not_graded() -> None:
    texts = ["\\boxed{5}", "boom \\boxed{5}", "\\boxed{6}", "\\boxed{5}", "boom"]
    verdicts = safe.grade(Fragile(), [(QUESTION, Response(text)) for text in texts])
    assert [v.status for v in verdicts] == ["correct", "grader_error", "wrong", "correct", "grader_error"]
    assert verdicts[1].detail == "the grader failed: IndexError: tuple index out of range"
    assert safe.grade(Fragile(), []) == []


def test_a_grader_that_answers_another_number_of_responses_is_not_believed() -> None:
    class Short(IntegerGrader):
        def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
            return super().grade(items)[:1]

    verdicts = safe.grade(Short(), [(QUESTION, Response("\\boxed{5}"))] * 3)
    assert [verdict.status for verdict in verdicts] == ["correct"] * 3


def test_votes_that_cannot_be_counted_by_value_are_counted_by_spelling() -> None:
    assert safe.vote_classes(Fragile(), QUESTION, ["5", None, "05", "5"]) == [0, None, 1, 0]
    assert safe.vote_classes(Fragile(), QUESTION, ["5", "05"]) == [0, 0]


def rows(path: Path) -> Path:
    texts = ["\\boxed{5}", "boom", "\\boxed{6}"]
    lines = [{"id": "q", "sample": i, "response": text, "gold": "5"} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_recorded_responses_are_all_scored_and_the_failure_is_counted(tmp_path: Path) -> None:
    [scores] = score_file(rows(tmp_path / "rows.jsonl"), "math", out=tmp_path / "out", grader=Fragile())
    found = scores.to_json()
    assert found["grader_errors"] == pytest.approx(1 / 3)
    assert found["pass@1"]["value"] == pytest.approx(1 / 3)
    assert found["pass@1"]["bounds"] == [pytest.approx(1 / 3), pytest.approx(2 / 3)]
    written = [json.loads(line) for line in (tmp_path / "out" / "math" / "samples.jsonl").open()]
    assert [(row["status"], row["correct"]) for row in written] == [
        ("correct", True),
        ("grader_error", False),
        ("wrong", False),
    ]
    assert "IndexError" in written[1]["detail"]


def test_an_audit_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.graders.registry.grader_of", lambda task: Fragile())
    found = audits.audit_file(rows(tmp_path / "rows.jsonl"), "math")
    assert found.compared == 3


def test_training_gives_such_a_completion_no_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    def fragile(task: Task) -> Grader:
        return Fragile()

    monkeypatch.setattr(rollouts, "grader_of", fragile)
    task = Task("t", "T", "integer", ("train",), "train", lambda split: [], source="here")
    prompt = Prompt(task, QUESTION, "?")
    completions = [Completion(text, (1,), (-1.0,), "stop") for text in ("\\boxed{5}", "boom")]
    with rollouts.Graders() as graders:
        [group] = graders.grade([rollouts.RolloutGroup.of(prompt, (), completions, GRPO(max_tokens=10))])
    assert [accuracy(one) for one in group.rollouts] == [1.0, None]


@pytest.mark.parametrize(
    "text", ["**F**", "(E)-2-butene", "G", "\\boxed{J}", "The answer is (E).", "option H"]
)
def test_a_letter_that_is_no_option_s_is_none(text: str) -> None:
    question = Question("q", "", "B", {"options": ("one", "two", "three", "four")})
    assert ChoiceGrader().grade([(question, Response(text))])[0].status == "unparsed"
