r"""The opinion by plain arithmetic: what it reads it reads rightly, of the rest it has none."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.graders.math.values import agree, differ, is_formula


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("5", "5", True),
        ("5", "6", False),
        (r"\frac{r}{R}", "r/R", True),
        (r"\frac{r}{R}", r"\frac{R}{r}", False),
        ("x^2-1", "(x-1)(x+1)", True),
        ("x^2-1", "(x-1)^2", False),
        (r"2\sqrt{3}", r"\sqrt{12}", True),
        (r"\frac{1}{30!}", r"\frac{1}{31!}", False),
        (r"\sin 2x", r"2\sin x\cos x", True),
        (r"\sin^2 x+\cos^2 x", "1", None),  # a letter on one side only may be a unit
        (r"3\frac12", "3.5", True),
        (r"-2\frac34", "-2.75", True),
        ("|x|", "x", False),
        ("x=5", "5", True),
        ("x=5", "y=5", None),
        (r"\sqrt{4/k}", r"\frac{2}{\sqrt{k}}", True),
        (r"\log_2 8", "3", True),
        (r"\log 2", r"\ln 2", None),
        ("10{,}000", "10000", True),
        ("1+i", r"\sqrt2 e^{i\pi/4}", True),
        (r"\sqrt[3]{8}", "2", True),
        ("2(3)", "5", False),
        ("5!", "120", True),
        ("x_1+x_2", "x_2+x_1", True),
        ("x_1", "x_2", False),
        # what is not read
        ("(1,2)", "(1,2)", None),
        (r"\text{east}", r"\text{east}", None),
        ("--4", "4", None),
        ("3 4", "34", None),
        ("9^{9^{9^{9}}}", "5", None),
        ("1000!", "5", None),
        ("13 m", "13", None),
        ("4_5", "4", None),
        (r"\frac{1}{0}", "1", None),
        ("", "", None),
        ("(" * 200 + "1" + ")" * 200, "1", None),
    ],
)
def test_opinions(gold: str, answer: str, same: bool | None) -> None:
    assert agree(gold, answer) is same


@given(
    st.text(st.sampled_from(r"\frac{}()[]^_+-*/|!.0123456789xyRie sqrtpi"), max_size=60), st.text(max_size=40)
)
def test_nothing_that_a_model_writes_raises(gold: str, answer: str) -> None:
    assert agree(gold, answer) in (True, False, None)
    assert agree(gold, gold) in (True, None)


@pytest.mark.parametrize(
    ("gold", "answer", "told"),
    [
        ("2\\sqrt{3}", "3\\sqrt{2}", True),
        ("12\\pi", "5", True),
        ("x^2-1", "x^2+1", True),
        ("5x", "5", True),  # a leaf's unit is taken off before
        ("x^2-1", "(x-1)(x+1)", False),
        ("10^{20}+1-10^{20}", "1", False),  # equal, although rounding says 0
        ("10^{17}+17-10^{17}", "17", False),
        (r"\frac{1}{10^{17}+17-10^{17}}", r"\frac{1}{17}", False),
        ("(x-1)^{12}(x-1)^{8}", "(x-1)^{20}", False),
        ("|x|", "x", False),  # the same for some x: algebra's to tell
        ("x=5", "-x=5", False),
        (r"\sqrt{-3}", "2", False),  # roots that are not real have branches
        ("7.0000001", "7", False),  # near: exact arithmetic's to tell
        (r"\frac{3}{4}\text{ cups}", "5", False),
    ],
)
def test_only_what_lies_far_apart_differs_for_sure(gold: str, answer: str, told: bool) -> None:
    assert differ(gold, answer) is told
    assert differ(answer, gold) is told


@given(st.integers(-9, 9), st.integers(1, 9), st.integers(2, 30))
def test_an_expanded_power_never_differs_from_itself(shift: int, factor: int, exponent: int) -> None:
    terms = [
        f"({comb(exponent, k) * factor**k * shift ** (exponent - k)})x^{{{k}}}" for k in range(exponent + 1)
    ]
    assert not differ(f"({factor}x+({shift}))^{{{exponent}}}", "+".join(terms))


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (r"\frac{3\sqrt{3}}{4}", True),
        ("x+1", True),
        (r"\frac{1}{0}", True),
        ("(1,2)", False),
        (r"\mathbb{R}", False),
        (r"(5,\infty)+1", False),
        (r"\text{all of it}", False),
        ("", False),
    ],
)
def test_what_is_arithmetic_all_through(text: str, whole: bool) -> None:
    assert is_formula(text) is whole
