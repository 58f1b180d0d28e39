"""Responses as models write them, by kind: what is extracted, which option is chosen, and the verdict.

A row of ``cases/responses/KIND.jsonl`` holds a response and one of "answer" (what the common reader extracts,
null for nothing), "letter" (the option chosen, null for none) and "gold" with "grader" and "correct".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.graders.base import Grader, Response
from evals.graders.choice import ChoiceGrader
from evals.graders.extract import extract
from evals.graders.integer import IntegerGrader
from evals.graders.letters import LETTERS
from evals.graders.math.grader import MathGrader
from evals.task import Question

FOLDER = Path(__file__).parent / "cases" / "responses"
KINDS = (
    "answer-clause",
    "answer-denied",
    "answer-field",
    "answer-language",
    "answer-tag",
    "bold-and-line",
    "braces-kept",
    "changed-mind",
    "choice-article",
    "choice-changed-mind",
    "choice-denied",
    "choice-end-of-turn",
    "choice-foreign-letter",
    "choice-language",
    "choice-new",
    "choice-none",
    "choice-runaway",
    "choice-sentence",
    "choice-several",
    "choice-spelling",
    "choice-ten",
    "choice-text",
    "choice-think",
    "choice-truncated",
    "digit-suffix",
    "end-of-turn",
    "nested-box",
    "no-answer-stated",
    "runaway",
    "several-boxes",
    "think",
    "truncated",
    "unboxed-formula",
    "word-answer",
)


def rows(kind: str) -> list[dict[str, Any]]:
    lines = (FOLDER / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def cases(*names: str) -> list[Any]:
    """The rows of all kinds that hold one of ``names``."""
    return [
        pytest.param(row, id=f"{kind}-{number}")
        for kind in KINDS
        for number, row in enumerate(rows(kind), 1)
        if any(name in row for name in names)
    ]


@pytest.fixture(scope="module")
def graders() -> Iterator[dict[str, Grader]]:
    with MathGrader(workers=1) as mathematics:
        yield {"math": mathematics, "integer": IntegerGrader(), "choice": ChoiceGrader()}


def cut(row: dict[str, Any]) -> bool:
    return bool(row.get("finish_reason") == "length")


def question(row: dict[str, Any], gold: str) -> Question:
    return Question("q", "", gold, {"options": tuple(row["choices"])} if "choices" in row else {})


@pytest.mark.parametrize("row", cases("answer"))
def test_what_is_extracted(row: dict[str, Any]) -> None:
    assert extract(row["response"], cut(row)).answer == row["answer"]


@pytest.mark.parametrize("row", cases("letter"))
def test_which_option_is_chosen(row: dict[str, Any]) -> None:
    asked = question(row, "A")
    verdict = ChoiceGrader().grade([(asked, Response(row["response"], cut(row)))])[0]
    answer = verdict.answer
    chosen = LETTERS[row["choices"].index(answer)] if answer is not None and "choices" in row else answer
    assert chosen == row["letter"], verdict


@pytest.mark.parametrize("row", cases("gold"))
def test_verdicts(row: dict[str, Any], graders: dict[str, Grader]) -> None:
    item = (question(row, row["gold"]), Response(row["response"], cut(row)))
    verdict = graders[row["grader"]].grade([item])[0]
    assert verdict.status != "grader_error"
    assert verdict.correct is row["correct"], verdict


MARKERS = (
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>",
    "<end_of_turn>", "<|end|>", "<|return|>", "<|EOT|>", "<｜end▁of▁sentence｜>",
    "<|end▁of▁sentence|>", "<|END_OF_TURN_TOKEN|>", "<|end_of_turn|>", "<|eos|>", "[|endofturn|]",
    "<|user|>", "[EOS]", "<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "[INST]",
    "<｜User｜>", "<|role_end|>", "<eoa>", "<pad>", "<|observation|>",
)  # fmt: skip
WHOLE = [each for each in cases("answer") if not cut(each.values[0])]
SAID = [
    each
    for each in WHOLE
    if each.values[0]["answer"] is not None
    and not re.search("last|bold|unclosed", extract(each.values[0]["response"]).rule)
]


@pytest.mark.parametrize("marker", MARKERS)
def test_nothing_after_the_end_of_the_turn_is_read(marker: str) -> None:
    for case in WHOLE:
        row = case.values[0]
        text = row["response"].rstrip() + marker + "\nThe answer is 987. \\boxed{987}"
        assert extract(text).answer == row["answer"], row


def test_a_question_that_the_model_makes_up_changes_no_answer_that_it_stated() -> None:
    for further in (
        "\n\nQuestion: Tom has 5 pens.\nAnswer: 987",
        "\n\nUser: and 5?\nAssistant: \\boxed{987}",
    ):
        for case in SAID:
            row = case.values[0]
            assert extract(row["response"].rstrip() + further).answer == row["answer"], row


def test_reasoning_before_a_response_changes_nothing() -> None:
    for case in WHOLE:
        row = case.values[0]
        if not re.search(r"think|<\||analysis|thought|^<s>", row["response"], re.IGNORECASE):
            thought = "<think>Maybe \\boxed{987}. The answer is 987.</think>\n" + row["response"]
            assert extract(thought).answer == row["answer"], row


NAMING = (
    "{0}", "({0})", "**{0}**", "{0}.", "Option {0}", "\\boxed{{{0}}}", "\\boxed{{\\text{{{0}}}}}",
    "Answer: {0}", "The answer is {0}.", "The answer is ({0}).", "The correct option is {0}.",
    "I'd go with {0}.", "So it must be {0}.", "({0}) is correct.", "{0} is the correct answer.",
    "<answer>{0}</answer>", '{{"answer": "{0}"}}', "答案是{0}。", "Die Antwort ist {0}.",
    "La respuesta correcta es la {0}.", "Ответ: {0}", "정답은 {0}입니다.", "正解は{0}です。",
    "This leaves only {0}.", "My choice is {0}.",
    "The answer is option {0}, since the others fail.",
)  # fmt: skip
DENYING = (
    "It is not ({0}).", "The answer is not {0}.", "({0}) is wrong.", "Option {0} is incorrect.",
    "It cannot be {0}.", "I exclude ({0}).", "({0}) can be ruled out.", "Unlike ({0}), none fits.",
    "If the answer is {0}, energy is lost.",
)  # fmt: skip


@pytest.mark.parametrize("letter", LETTERS)
def test_each_of_ten_letters_is_named_by_every_sentence_and_by_none_that_denies_it(letter: str) -> None:
    asked = Question("q", "", letter, {"options": tuple(f"text {number}" for number in range(10))})
    grader = ChoiceGrader()
    for sentence in NAMING:
        assert grader.grade([(asked, Response(sentence.format(letter)))])[0].status == "correct", sentence
        other = LETTERS[LETTERS.index(letter) - 1]
        assert grader.grade([(asked, Response(sentence.format(other)))])[0].status == "wrong", sentence
    for sentence in DENYING:
        assert grader.grade([(asked, Response(sentence.format(letter)))])[0].status == "unparsed", sentence
    assert not grader.grade([(asked, Response(f"The answer is {letter} or C."))])[0].correct or letter == "C"
