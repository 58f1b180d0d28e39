r"""Spellings of one value are equal, and a changed value is never equal, whatever the spelling."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from math import comb, perm

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.graders.base import Response
from evals.graders.integer import literal
from evals.graders.math import exact, symbolic
from evals.graders.math.grader import MathGrader
from evals.graders.math.points import equal_at_points
from evals.graders.math.values import agree
from evals.task import Question

RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
UNITS = ["{} cm", r"{}\text{{ cm}}", r"{}\,\mathrm{{cm}}", "{} centimeters", r"x = {}\text{{ cm}}"]
WRAPPED = ["{}", r"\text{{{}}}", r"\mathbf{{{}}}", r"\underline{{{}}}", "${}$", r"\displaystyle {}", "x = {}"]


@pytest.fixture(scope="module")
def grader() -> Iterator[MathGrader]:
    with MathGrader() as made:
        yield made


def right(grader: MathGrader, gold: str, answer: str) -> bool:
    question = Question(id="q", text="", gold=gold)
    return grader.grade([(question, Response(f"So $\\boxed{{{answer}}}$."))])[0].correct


@given(st.integers(-(10**12), 10**12), st.sampled_from(WRAPPED), st.booleans())
def test_whole_numbers(value: int, wrapping: str, grouped: bool) -> None:
    figures = f"{value:,}" if grouped else str(value)
    answer = wrapping.format(figures)
    assert exact.decide(str(value), answer) is True
    assert exact.decide(str(value + 1), answer) is False
    assert exact.decide(str(-value), answer) is (value == 0)
    assert literal(answer) == value


@given(st.integers(1, 10**9), st.sampled_from(["thousand", "million", "billion", "dozen", "hundred"]))
def test_scale_words(value: int, word: str) -> None:
    scale = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "dozen": 12, "hundred": 100}[word]
    for answer in (
        f"{value} {word}",
        rf"{value}\text{{ {word}}}",
        f"{value} {word} people",
        f"{value:,} {word}",
    ):
        assert literal(answer) == value * scale
        assert exact.decide(str(value * scale), answer) is True
        assert exact.decide(str(value), answer) is False
    assert literal(f"negative {value} {word}") == -value * scale


@given(st.integers(2, 9), st.integers(-99, 99), st.integers(-99, 99))
def test_superscripts_are_exponents(base: int, exponent: int, other: int) -> None:
    written = f"{base}{str(exponent).translate(RAISED)}"
    for spelling in (
        f"{base}^{{{exponent}}}",
        f"{base}**{exponent}" if exponent >= 0 else f"{base}^({exponent})",
    ):
        assert exact.decide(spelling, written) is True
    if other != exponent:
        assert exact.decide(f"{base}^{{{other}}}", written) is not True


@given(st.fractions(min_value=-9, max_value=9, max_denominator=9), st.fractions(max_denominator=9))
def test_mixed_numbers(value: Fraction, other: Fraction) -> None:
    whole, part = divmod(abs(value), 1)
    sign = "-" if value < 0 else ""
    spellings = [f"{value}", rf"\frac{{{value.numerator}}}{{{value.denominator}}}"]
    if whole and part:
        top, bottom = part.numerator, part.denominator
        spellings += [
            f"{sign}{whole} {top}/{bottom}",
            rf"{sign}{whole}\frac{{{top}}}{{{bottom}}}",
            f"{sign}{whole} and {top}/{bottom}",
        ]
    for one in spellings:
        assert exact.decide(str(value), one) is True, one
        if other != value:
            assert exact.decide(str(other), one) is False, one


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from(UNITS),
    st.sampled_from([("m", 100), ("mm", 10)]),
)
def test_units_convert_and_contradict(value: int, other: int, spelling: str, unit: tuple[str, int]) -> None:
    answer = spelling.format(value)
    assert exact.decide(rf"{value}\text{{ cm}}", answer) is True
    assert exact.decide(str(value), answer) is True
    name, times = unit
    same = Fraction(value, times) if name == "m" else Fraction(value * times)
    assert exact.decide(rf"{same}\text{{ {name}}}", answer) is True
    assert exact.decide(rf"{value}\text{{ kg}}", answer) is False
    if value:
        assert exact.decide(rf"{value}\text{{ {name}}}", answer) is False
    if other != value:
        assert exact.decide(rf"{other}\text{{ cm}}", answer) is False


@given(st.integers(1, 12), st.integers(0, 59), st.sampled_from(["a.m.", "p.m."]))
def test_times_of_day(hour: int, minute: int, half: str) -> None:
    gold = rf"{hour}:{minute:02}\text{{ {half}}}"
    other = "p.m." if half == "a.m." else "a.m."
    assert exact.decide(gold, f"{hour}:{minute:02} {half.upper()}") is True
    assert exact.decide(gold, f"{hour}:{minute:02} {half.replace('.', '')}") is True
    assert exact.decide(gold, f"{hour}:{minute:02}") is True
    assert exact.decide(gold, f"{hour}:{minute:02} {other}") is False
    assert exact.decide(gold, f"{hour}:{(minute + 1) % 60:02} {half}") is False
    assert exact.decide(str(minute), gold) is False


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 9))
def test_ratios(one: int, two: int, times: int) -> None:
    assert exact.decide(f"{one}:{two}", f"{one} to {two}") is True
    assert exact.decide(rf"\text{{{one} to {two}}}", rf"{one * times} : {two * times}") in (
        True,
        None,
        one == two,
    )
    assert exact.decide(f"{one}:{two}", f"{two}:{one}") is (one == two)


@given(st.integers(0, 99), st.integers(2, 50), st.integers(-3, 3), st.integers(0, 99))
def test_residues(value: int, modulus: int, turns: int, other: int) -> None:
    gold = rf"x \equiv {value} \pmod{{{modulus}}}"
    assert exact.decide(gold, rf"x\equiv {value + turns * modulus}\pmod {modulus}") is True
    assert exact.decide(gold, rf"{other} \mod {modulus}") is ((value - other) % modulus == 0)
    assert exact.decide(gold, rf"x \equiv {value} \pmod{{{modulus + 1}}}") is False
    assert exact.decide(str(value), rf"{value} \mod {modulus}") is False


LETTERS = "abcdkmnpqrstuvxyzABCDKMNPQRSTUVXYZ"


@given(st.lists(st.sampled_from(LETTERS), min_size=2, max_size=2, unique=True), st.integers(2, 9))
@settings(max_examples=25, deadline=None)
def test_small_and_capital_letters_differ(grader: MathGrader, names: list[str], number: int) -> None:
    one, two = names
    gold = rf"\frac{{{one}+{number}}}{{{two}}}"
    assert right(grader, gold, rf"({number}+{one})/{two}")
    assert not right(grader, gold, rf"\frac{{{one.swapcase()}+{number}}}{{{two}}}")
    assert not right(grader, gold, rf"\frac{{{one}+{number}}}{{{two.swapcase()}}}")
    assert agree(gold, rf"\frac{{{one.swapcase()}+{number}}}{{{two}}}") is False


def formula(generator: random.Random, depth: int) -> tuple[str, str]:
    """A formula in two spellings."""
    if depth == 0:
        atom = generator.choice(["x", "y", "X", "2", "3", "7", r"\pi"])
        return atom, atom
    (one, also_one), (two, also_two) = (formula(generator, depth - 1) for _ in range(2))
    kind = generator.randrange(5)
    if kind == 0:
        return f"{one}+{two}", f"({also_two})+({also_one})"
    if kind == 1:
        return f"({one})({two})", rf"\left({also_two}\right)\cdot\left({also_one}\right)"
    if kind == 2:
        return rf"\frac{{{one}}}{{{two}+11}}", f"({also_one})/(11+({also_two}))"
    if kind == 3:
        return f"({one})^2", f"({also_one})({also_one})"
    return rf"\sqrt{{({one})^2+5}}", f"sqrt(5+({also_one})^2)"


@pytest.mark.parametrize("seed", range(12))
def test_formulas_respelled_are_equal_and_changed_are_not(grader: MathGrader, seed: int) -> None:
    generator = random.Random(seed)
    gold, answer = formula(generator, 2)
    assert right(grader, gold, answer), (gold, answer)
    changed = [f"{answer}+10^{{-25}}", f"-({answer})", f"1.0000001({answer})", f"({answer})+x^9"]
    assert [right(grader, gold, other) for other in changed] == [False] * len(changed), (gold, answer)
    assert agree(gold, answer) is not False


@pytest.mark.parametrize("exponent", [5, 20, 80, 200])
def test_tiny_numbers_are_compared_by_their_ratio(grader: MathGrader, exponent: int) -> None:
    for tiny in (
        "10^{{-{}}}",
        r"\frac{{1}}{{2^{{{}}}}}",
        r"\frac{{1}}{{{}!}}",
        "e^{{-{}}}",
        r"\sqrt{{10^{{-{}}}}}",
    ):
        assert right(grader, tiny.format(exponent), tiny.format(exponent))
        assert not right(grader, tiny.format(exponent), tiny.format(exponent + 1))
        assert not right(grader, "0", tiny.format(exponent))


def test_points_tell_a_function_from_its_absolute_value_on_every_scale() -> None:
    import sympy

    x = sympy.Symbol("x")
    assert equal_at_points(abs(x), x) is False
    assert equal_at_points(abs(x - 10), 10 - x) is False
    assert equal_at_points(sympy.sqrt(4 / x), 2 / sympy.sqrt(x)) is True
    assert equal_at_points(sympy.sqrt(x**2), x) is False
    assert equal_at_points(sympy.sin(x) ** 2 + sympy.cos(x) ** 2, sympy.Integer(1)) is True
    assert equal_at_points(sympy.sqrt(2) - sympy.sqrt(2, evaluate=False), sympy.Integer(0)) is True


def test_a_formula_that_math_verify_would_lower_case_is_read_as_written() -> None:
    assert symbolic.compare("R-r", "r-R") == "different"
    assert symbolic.compare(r"\pi R^2", r"\pi r^2") == "different"


@given(st.integers(1, 40), st.integers(1, 11), st.integers(0, 500), st.sampled_from([" ", " and ", ", "]))
def test_a_length_in_feet_and_inches_is_one_number_of_inches(
    feet: int, inches: int, other: int, joint: str
) -> None:
    whole = 12 * feet + inches
    for answer in (
        f"{feet} ft{joint}{inches} in",
        f"{feet} feet{joint}{inches} inches",
        rf"{feet}\text{{ ft}}{joint}{inches}\text{{ in}}",
    ):
        assert exact.decide(rf"{whole}\text{{ in}}", answer) is True
        assert exact.decide(rf"{other}\text{{ in}}", answer) is (other == whole)
        assert exact.decide(answer, rf"{other}\text{{ inches}}") is (other == whole)


@given(
    st.lists(st.integers(-9, 9), min_size=3, max_size=3), st.sampled_from([r"\mathbf{{{}}}", r"\hat{{{}}}"])
)
def test_a_sum_of_unit_vectors_is_its_coordinates(parts: list[int], unit: str) -> None:
    answer = "".join(f"{part:+d}{unit.format(axis)}" for part, axis in zip(parts, "ijk", strict=True))
    gold = f"({', '.join(map(str, parts))})"
    assert exact.decide(gold, answer) is True
    other = [*parts[:2], parts[2] + 1]
    assert exact.decide(f"({', '.join(map(str, other))})", answer) is False


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 10**6))
def test_numbers_of_arrangements(many: int, chosen: int, other: int) -> None:
    for count, letter in ((comb(many, chosen), "C"), (perm(many, chosen), "P")):
        for answer in (f"{letter}({many},{chosen})", f"_{{{many}}}{letter}_{{{chosen}}}"):
            assert exact.decide(str(count), answer) is True
            if other != count:
                assert exact.decide(str(other), answer) is not True
