"""Which questions are the same one."""

from __future__ import annotations

import pytest

from evals.tasks.alike import normalised, text_key


@pytest.mark.parametrize(
    "same",
    ["What is  2 + 2?", "what IS 2 + 2 ?", "What is\n2 + 2", "“What is 2 + 2?”", "Ｗhat is ２ + 2？"],
)
def test_how_it_is_written_makes_no_other_question(same: str) -> None:
    assert normalised(same) == normalised("What is 2 + 2?")


@pytest.mark.parametrize(
    "other", ["What is 2 - 2?", "What is 2 + 22?", "What is 2 + 2.5?", "What was 2 + 2?"]
)
def test_another_question_is_another(other: str) -> None:
    assert normalised(other) != normalised("What is 2 + 2?")


@pytest.mark.parametrize(
    "text", ["", "...", '"."', "'a'.", '."x', "3.5, (“b”)", "Straße.", "a \u00a0 b\x1fc"]
)
def test_what_is_left_is_compared_as_it_is(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)
    assert text_key(text) == text_key(normalised(text))
