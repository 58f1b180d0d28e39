"""What of a response is read: its own turn, after its reasoning, before the questions that it makes up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.graders.base import Response
from evals.graders.code import CodeGrader
from evals.graders.code_extract import extract_function
from evals.graders.extract import extract
from evals.graders.reading import own_turn, read, split_reasoning, without_tags
from evals.task import Question


@pytest.mark.parametrize(
    ("text", "reasoning", "said"),
    [
        ("5", "", "5"),
        ("<think>a</think>5", "<think>a</think>", "5"),
        ("a</think>5", "a</think>", "5"),
        ("a</think>b</think>5", "a</think>b</think>", "5"),
        ("<thinking>a</thinking>5", "<thinking>a</thinking>", "5"),
        ("[THINK]a[/THINK]5", "[THINK]a[/THINK]", "5"),
        ("<think>a</think>5<think>b", "<think>a</think>", "5"),
        ("<think>a</think>5<think>b</think>6", "<think>a</think>5<think>b</think>", "6"),
        ("<think>a", "", None),
        ("5<think>a", "", None),
        # a tag in a closed fence, or quoted, is text
        ("<think>a</think>```\n</think>x\n```", "<think>a</think>```\n</think>", "x\n```"),
        ("<think>a</think>```\nt = '</think>'\n```", "<think>a</think>", "```\nt = '</think>'\n```"),
        ("<think>a</think>```\nt = 'a</think>b'\n```", "<think>a</think>", "```\nt = 'a</think>b'\n```"),
        ("<think>a `</think>` b</think>5", "<think>a `</think>` b</think>", "5"),
        ("<think>```\nx</think>```\ny\n```", "<think>```\nx</think>", "```\ny\n```"),
        ("<think>```\nx\n</think>\n```\ny\n```", "<think>```\nx\n</think>", "\n```\ny\n```"),
        ("<think>```\nx\n```</think>```\ny\n```", "<think>```\nx\n```</think>", "```\ny\n```"),
        ("<think>~~~\nx\n</think>\n5", "<think>~~~\nx\n</think>", "\n5"),
    ],
)
def test_reasoning_is_set_apart_by_one_rule(text: str, reasoning: str, said: str | None) -> None:
    assert split_reasoning(text) == (reasoning, said)


def test_tags_around_reasoning_are_taken_off() -> None:
    assert without_tags("<think>\na <b> c\n</think>") == "\na <b> c\n"
    assert without_tags("a</think>") == "a"
    assert without_tags("a") == "a"


@pytest.mark.parametrize(
    ("text", "turn"),
    [
        ("5<|im_end|>6", "5"),
        ("<|im_start|>assistant\n5<|im_end|>", "5"),
        ("<|start_header_id|>assistant<|end_header_id|>\n\n5<|eot_id|>", "5"),
        ("5\n<|im_start|>user\n6", "5\n"),
        ("5</s>", "5"),
        ("<s>4</s> 5", "4"),  # it begins with the mark of a text, and so that is what ends
        ("It is <s>4</s> 5", "It is <s>4</s> 5"),
        ("print('<|im_end|>')", "print('<|im_end|>')"),
        ("```\nx = '<|im_end|>y'\n```", "```\nx = '<|im_end|>y'\n```"),
        ("```\nx = 1<|im_end|>\n```", "```\nx = 1"),
        ("```\nx = 1\n<|im_end|>", "```\nx = 1\n"),
        ("|x| <|y|> 2", "|x| <|y|> 2"),
        (
            "<|channel|>analysis<|message|>4<|end|><|start|>assistant<|channel|>final<|message|>5<|return|>6",
            None,
        ),
    ],
)
def test_a_turn_ends_at_its_first_marker(text: str, turn: str | None) -> None:
    if turn is None:
        assert read(text).said == "5"
    else:
        assert own_turn(text)[0] == turn


def test_an_answer_in_a_block_that_was_never_closed_counts_unless_the_protocol_says_no() -> None:
    text = "<think>6 * 7 <answer>42</answer>"
    found = extract(text)
    assert (found.answer, found.rule) == ("42", "<answer> inside an unclosed <think>")
    assert extract(text, unclosed_answers=False).answer is None
    assert extract(text, truncated=True).answer is None
    assert extract(text + " so").answer is None
    assert extract("<think>6 * 7 \\boxed{42}").answer is None
    assert extract("<think>6 * 7 = 42.").answer is None


def test_a_program_in_such_an_answer_counts_likewise() -> None:
    info = {"style": "function", "entry_point": "f", "tests": "assert f(1) == 1"}
    text = "<think>easy <answer>def f(x): return x</answer>"
    question = Question("q", "", "", info)
    with CodeGrader(workers=1) as grader:
        verdicts = grader.grade([(question, Response(text)), (question, Response(text, False, False))])
    assert verdicts[0].status != "unparsed"
    assert verdicts[1].status == "unparsed"


def test_programs_stand_after_the_reasoning_even_where_they_hold_its_tags() -> None:
    program = "def f(x):\n    return x.split('</think>')\n"
    found = extract_function(f"<think>a</think>\n```python\n{program}```\n", "f", "")
    assert found is not None
    assert found.text == program


def test_a_free_text_may_be_made_of_questions() -> None:
    text = "The answer is 5.\n\nQuestion: and then?\nAnswer: 6"
    assert read(text).said == "The answer is 5.\n\n"
    assert read(text, further_questions=True).said == text


@given(st.text(max_size=300), st.booleans(), st.booleans())
def test_any_text_is_read(text: str, truncated: bool, unclosed_answers: bool) -> None:
    reading = read(text, truncated, unclosed_answers)
    assert reading.said is None or reading.said in text or "channel" in text or "final" in text
    reasoning, said = split_reasoning(text)
    assert said is None or reasoning + said == text or text.startswith(reasoning)


@pytest.mark.parametrize(
    "text",
    [
        "<|im_end|",
        "```\n",
        "</think>",
        "<think></think>",
        "`</think>`",
        "Question: 5\n\n",
        "User: 5\nA: 6\n",
        "\n",
    ],
)
@pytest.mark.timeout(60)
def test_a_megabyte_of_marks_is_read_once(text: str) -> None:
    read(text * (1_000_000 // len(text)))
