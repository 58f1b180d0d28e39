"""The generated tasks: true golds, splits that cannot overlap, the same questions every time."""

from __future__ import annotations

import random
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.task import Task, TaskError
from evals.tasks import arithmetic, synthetic, tiny_code, tiny_math

MODULES = (arithmetic, tiny_math, tiny_code)
TASKS = [module.TASK for module in MODULES]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_splits_share_no_question(task: Task) -> None:
    texts = {split: {question.text for question in task.load(split)} for split in task.splits}
    assert not texts["train"] & texts["dev"]
    assert not texts["train"] & texts["test"]
    assert not texts["dev"] & texts["test"]
    assert all(synthetic.split_of(text) == split for split, found in texts.items() for text in found)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_questions_are_always_the_same(task: Task) -> None:
    assert task.load("test") == task.load("test")
    ids = [question.id for question in task.load("test")]
    assert len(set(ids)) == len(ids)


def test_benchmark_sizes() -> None:
    assert [len(task.load(task.benchmark)) for task in TASKS] == [30, 100, 50]


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(TaskError, match="tiny-aime has no split 'validation'"):
        arithmetic.TASK.load("validation")


@given(st.integers(0, 2**32))
def test_arithmetic_golds_follow_from_the_text(seed: int) -> None:
    question = arithmetic.draw(random.Random(seed))
    start, steps, _ = question.text.removeprefix("Start with ").split(". ")
    value = int(start)
    for step in steps.split(", "):
        _, verb, operand = step.split(" ")
        value = {"add": value + int(operand), "subtract": value - int(operand)}[verb]
        assert 100 <= value <= 999
    assert question.gold == str(value)


@given(st.integers(0, 2**32))
def test_no_digit_carries(seed: int) -> None:
    for left, operator, right, result in arithmetic.draw(random.Random(seed)).info["steps"]:
        for a, b, c in zip(str(left), str(right), str(result), strict=True):
            assert int(c) == (int(a) + int(b) if operator == "+" else int(a) - int(b))


@given(st.integers(0, 2**32))
def test_math_golds_are_true(seed: int) -> None:
    question = tiny_math.draw(random.Random(seed))
    body = question.text.split("$")[1]
    match question.info["kind"]:
        case "fractions":
            sign = -1 if "- " in body else 1
            spaced = re.sub(r"[^0-9]+", " ", body).split()
            a, b, c, d = (int(n) for n in spaced)
            value = Fraction(a, b) + sign * Fraction(c, d)
            minus = "-" if value < 0 else ""
            assert question.gold == rf"{minus}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
        case "signed":
            tokens = body.split(" ")
            pairs = zip(tokens[1::2], tokens[2::2], strict=True)
            assert question.gold == str(int(tokens[0]) + sum(int(sign + n) for sign, n in pairs))
        case "sets":
            bound = int(question.text.split("$")[3])
            elements = [int(n) for n in body.strip("\\{}").split(", ")]
            above = ", ".join(str(n) for n in elements if n > bound)
            assert question.gold == rf"\{{{above}\}}"


@given(st.integers(0, 2**32))
def test_code_tests_agree_with_the_expression(seed: int) -> None:
    question = tiny_code.draw(random.Random(seed))
    # Our own expression, made of the steps above: the one place where it is run as Python.
    function = eval(f"lambda x: {question.info['expressions'][-1]}", {"max": max, "min": min})
    for line, x in zip(question.info["tests"].splitlines(), tiny_code.INPUTS, strict=True):
        assert line == f"assert f({x}) == {function(x)}"
