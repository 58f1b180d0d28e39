"""Reward functions: their ranges, and attempts to earn them without deserving it."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.base.errors import UsageError
from evals.engine import Completion
from evals.graders.base import Status, Verdict
from evals.rollout import Rollout
from evals.task import Question
from harness.config.kinds import REWARDS as REGISTRY
from harness.rewards import check_names, make_mix, names
from harness.rewards.language import SENTENCE, detect
from harness.rewards.registry import JUDGE, REWARD_MODEL

REWARDS = {name: REGISTRY.get(name) for name in REGISTRY.built_in if name not in (JUDGE, REWARD_MODEL)}
GOOD = "<think>Two and two make four.</think>\n<answer>4</answer>"
RANGES = {
    "accuracy": (0, 1),
    "format": (0, 1),
    "answered": (0, 1),
    "length": (0, 1),
    "language": (0, 1),
    "overlong": (-1, 0),
    "cosine": (-1, 1),
    "repetition": (-1, 0),
    "consistency": (0, 1),
}


def attempt(
    text: str,
    status: Status = "correct",
    *,
    tokens: int = 10,
    max_tokens: int = 100,
    buffer: int = 0,
    prompt: str = "User: 2+2?\nAssistant:",
    question: str = "What is two plus two?",
    **info: Any,
) -> Rollout:
    finish = "length" if tokens >= max_tokens else "stop"
    return Rollout(
        Question("q", question, "4", info),
        prompt,
        Completion(text, (1,) * tokens, (-1.0,) * tokens, finish),
        Verdict(status),
        max_tokens,
        buffer,
    )


def reward(name: str, *args: Any, **kwargs: Any) -> float | None:
    return REWARDS[name](attempt(*args, **kwargs))


def test_every_function_is_named_and_documented() -> None:
    assert names() == [*RANGES, "random", "reward_model", "judge"]
    assert all(reward.__doc__ for reward in REWARDS.values())


PIECES = ["<think>", "</think>", "<answer>", "</answer>", "four", "четыре", "四", "\\frac{1}{2}", " ", "4"]


@settings(deadline=None, max_examples=200)
@given(
    text=st.lists(st.sampled_from(PIECES)).map("".join) | st.text(),
    status=st.sampled_from(["correct", "wrong", "unparsed", "grader_error"]),
    tokens=st.integers(1, 100),
    buffer=st.integers(0, 99),
)
def test_every_value_is_in_its_range(text: str, status: Any, tokens: int, buffer: int) -> None:
    made = attempt(text, status, tokens=tokens, buffer=buffer)
    for name, (low, high) in RANGES.items():
        value = REWARDS[name](made)
        assert value is None or low <= value <= high
        judging = {"accuracy", "answered", "length", "cosine"}
        assert (value is None) == (status == "grader_error" and name in judging)


@pytest.mark.parametrize(
    ("status", "value"), [("correct", 1.0), ("wrong", 0.0), ("unparsed", 0.0), ("grader_error", None)]
)
def test_accuracy_is_the_grader_s_verdict(status: Any, value: float | None) -> None:
    assert reward("accuracy", "anything", status) == value


def test_answered_pays_for_any_answer() -> None:
    for status, expected in (("correct", 1), ("wrong", 1), ("unparsed", 0), ("grader_error", None)):
        assert reward("answered", GOOD, status) == expected


def test_format_accepts_the_layout_and_white_space_around_it() -> None:
    assert reward("format", GOOD) == 1
    assert reward("format", f"\n {GOOD}\n\n") == 1
    assert reward("format", "<think>a < b\n\nso</think><answer>\\frac{1}{2}</answer>") == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "<think></think><answer>4</answer>",
        "<think> \n </think><answer>4</answer>",
        "<think>hm</think><answer> </answer>",
        "<answer>4</answer><think>hm</think>",
        "<think>hm<answer>4</answer></think>",
        "<think>hm</think><answer>4",
        "hm</think><answer>4</answer>",
        f"{GOOD}<answer>5</answer>",
        f"{GOOD} and that is that",
        f"Well. {GOOD}",
        "<think>a</think> b <answer>4</answer>",
        "<think>a<think>b</think></think><answer>4</answer>",
        "<THINK>a</THINK><ANSWER>4</ANSWER>",
        "<think >a</think><answer>4</answer>",
        GOOD * 1000,
    ],
)
def test_format_cannot_be_had_otherwise(text: str) -> None:
    assert reward("format", text) == 0


def test_format_counts_a_tag_that_the_prompt_opened() -> None:
    opened = "User: 2+2?\nAssistant: <think>\n"
    assert reward("format", "four</think><answer>4</answer>", prompt=opened) == 1
    assert reward("format", GOOD, prompt=opened) == 0


def test_length_prefers_the_shorter_of_two_correct_answers_and_never_a_wrong_one() -> None:
    values = [reward("length", "x", tokens=tokens) for tokens in (1, 10, 50, 100)]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert values[-1] == 0
    for status in ("wrong", "unparsed"):
        assert reward("length", "", status, tokens=1) == 0


def test_overlong_falls_over_the_buffer() -> None:
    values = [reward("overlong", "x", "wrong", tokens=tokens, buffer=20) for tokens in (10, 80, 85, 90, 100)]
    assert values == [0, 0, -0.25, -0.5, -1]


CHINESE = "首先我们把两个数加起来"


@pytest.mark.parametrize(
    ("text", "question", "value"),
    [
        (GOOD, "What is two plus two?", 1.0),
        (f"<think>{CHINESE}</think><answer>4</answer>", "二加二等于几?", 1.0),
        (f"<think>{CHINESE}</think><answer>4</answer>", "What is two plus two?", 0.0),
        ("<think>Two and two make four.</think>", "二加二等于几?", 0.0),
        ("<think>2 + 2 = 4</think>", "What is two plus two?", 1.0),
        ("<think>设 x = 3, 则 2x + α = 6</think>", "求 x 的值", 1.0),
        (r"<think>所以 \frac{1}{2} \cdot \sqrt{x} = 4</think>", "求值", 1.0),
        ("<think>Пусть x равен трём</think>", "Найдите x", 1.0),
        ("<think>まず足し算をする</think>", "二足す二はいくつですか", 1.0),
        ("<think>둘 더하기 둘은 넷</think>", "둘 더하기 둘은?", 1.0),
    ],
)
def test_language_follows_the_question(text: str, question: str, value: float) -> None:
    assert reward("language", text, question=question) == value


def test_language_measures_code_switching_by_words() -> None:
    mixed = "<think>first we add 两个数 and then divide</think>"
    assert reward("language", mixed) == pytest.approx(6 / 9)
    assert reward("language", "<think>first加second</think>") == pytest.approx(2 / 3)


ENGLISH = "How many apples does she have after she has given five of them away?"
RUSSIAN = "Сколько яблок осталось у Марии после того, как она отдала пять из них своим друзьям?"
GERMAN = "Zuerst berechne ich die Summe der beiden Zahlen, dann teile ich sie durch drei."


@pytest.mark.parametrize(
    ("text", "question", "info", "value"),
    [
        (GERMAN, ENGLISH, {}, 0.0),
        (GERMAN, "Wie viele Äpfel hat sie noch, nachdem sie fünf davon verschenkt hat?", {}, 1.0),
        (GERMAN, ENGLISH, {"language": "de"}, 1.0),
        (GERMAN, "$x^2 = 4$", {}, 1.0),  # nobody says which language, so a script is all that is known
        ("First we add the numbers that were given. " + GERMAN, ENGLISH, {}, 8 / 22),
        ("Primero sumo los dos números y luego divido el total entre las tres personas.", ENGLISH, {}, 0.0),
        (
            "Спочатку я додам два числа і потім поділю на три.",
            RUSSIAN,
            {},
            0.0,
        ),
        ("Let ABC be a triangle with circumcenter O. sin cos tan gcd lcm. By AM-GM it is.", ENGLISH, {}, 1.0),
    ],
)
def test_language_tells_languages_of_one_script_apart(
    text: str, question: str, info: dict[str, str], value: float
) -> None:
    found = reward("language", f"<think>{text}</think>", question=question, **info)
    assert found == pytest.approx(value)


RECORDED = Path(os.environ.get("HARNESS_DATA", ".")) / "recorded" / "gsm8k_model_solutions.jsonl"


@pytest.mark.skipif(not RECORDED.is_file(), reason="HARNESS_DATA names no folder with recorded/")
def test_language_of_recorded_english_is_english() -> None:
    with RECORDED.open(encoding="utf-8") as rows:
        solutions = [json.loads(row)["175b_verification"]["solution"] for row in rows]
    sentences = [sentence for solution in solutions for sentence in SENTENCE.split(solution)]
    assert len(sentences) > 5000
    assert {detect(sentence) for sentence in sentences} <= {"en", None}


def test_language_cannot_be_had_by_silence_or_by_the_answer_alone() -> None:
    assert reward("language", "") == 0
    assert reward("language", "<think></think><answer>four is the answer</answer>") == 0
    assert reward("language", "<answer>four</answer>") == 0


def test_language_ignores_a_padded_answer_and_repetition() -> None:
    half = "<think>four 四</think>"
    assert reward("language", half + "<answer>many English words in here</answer>") == 0.5
    assert reward("language", "<think>" + "four 四 " * 1000 + "</think>") == 0.5


def test_language_takes_a_stated_script() -> None:
    assert reward("language", "<think>пять</think>", scripts=["Cyrillic"]) == 1
    assert reward("language", "<think>пять</think>") == 0


def test_mix_weighs_and_keeps_the_parts() -> None:
    mix = make_mix({"accuracy": 1.0, "format": 0.2, "overlong": 0.0})
    good, bad = mix.score([attempt(GOOD), attempt("four", "wrong", tokens=100, buffer=50)])
    assert good.total == pytest.approx(1.2)
    assert bad.total == 0
    assert dict(bad.parts) == {"accuracy": 0.0, "format": 0.0, "overlong": -1.0}


def test_a_grader_that_failed_leaves_the_completion_unscored() -> None:
    weights = {"accuracy": 1.0, "format": 0.2}
    (score,) = make_mix(weights).score([attempt(GOOD, "grader_error")])
    assert math.isnan(score.total)
    assert dict(score.parts) == {"accuracy": None, "format": 1.0}
    (score,) = make_mix({"accuracy": 0.0, "format": 0.2}).score([attempt(GOOD, "grader_error")])
    assert score.total == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"acuracy": 1.0}, "rewards.acuracy.*accuracy, format, answered, length, language"),
        ({"accuracy": math.inf}, "rewards.accuracy.*finite"),
        ({"accuracy": 0.0}, "at least one weight"),
    ],
)
def test_a_mix_that_cannot_work_is_refused(weights: dict[str, float], message: str) -> None:
    for check in (check_names, make_mix):
        with pytest.raises(UsageError, match=message):
            check(weights)
