"""One spelling for each answer, and numbers as exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.graders.math.normalize import canonical, clean, number
from evals.graders.math.units import split_unit


@pytest.mark.parametrize(
    ("latex", "spelling"),
    [
        (r"\left( 3, \dfrac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        (r"$\text{Evelyn}$", "Evelyn"),
        (r"\mathrm{east}.", "east"),
        (r"\frac 59", r"\frac{5}{9}"),
        (r"\frac9{19}", r"\frac{9}{19}"),
        (r"\frac{270}7", r"\frac{270}{7}"),
        (r"2\sqrt3", r"2\sqrt{3}"),
        (r"10,\!080", "10080"),
        (r"11,\! 111,\! 111,\! 100", "11111111100"),
        (r"10{,}000", "10000"),
        (r"10\,000", "10000"),
        ("1 000 000", "1000000"),
        (r"\{1,\ 200\}", r"\{1,200\}"),
        ("12 3/5", r"12\frac{3}{5}"),
        ("x_{1}^{2}", "x_1^2"),
        (r"x \leqslant 5", r"x\le5"),
        (r"90^{\circ}", r"90^\circ"),
        (r"50 percent", "50%"),
        (r"\$18.90", "18.90"),
        ("２３", "23"),
        ("٣٤", "34"),
        ("−5", "-5"),
        ("√2", r"\sqrt{2}"),
        ("x ≤ ∞", r"x\le\infty"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        ("2 3", "2 3"),
    ],
)
def test_spellings(latex: str, spelling: str) -> None:
    assert canonical(latex) == spelling


@given(st.text(st.sampled_from("\\{}$()[],.;^_ 0123456789fracstqx%°−\n"), max_size=60))
def test_cleaning_what_is_clean_changes_nothing_that_matters(text: str) -> None:
    once = canonical(text)
    assert number(once) == number(canonical(once)) or number(once) is None


numbers = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=999)


@given(numbers)
def test_fractions_are_read_exactly(value: Fraction) -> None:
    sign, top = ("-" if value < 0 else ""), abs(value.numerator)
    whole, rest = divmod(top, value.denominator)
    spellings = [
        rf"\frac{{{value.numerator}}}{{{value.denominator}}}",
        rf"{sign}\dfrac{{{top}}}{{{value.denominator}}}",
        f"{value.numerator}/{value.denominator}",
        rf"{sign}\frac{{{-top}}}{{{-value.denominator}}}",
        rf"$ {sign} \tfrac{{{top:,}}}{{{value.denominator}}} $.",
    ]
    if whole and rest:
        spellings += [rf"{sign}{whole}\frac{{{rest}}}{{{value.denominator}}}"]
    for spelling in spellings:
        assert number(canonical(spelling)) == value, spelling


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4))
def test_decimals_are_read_exactly(value: object) -> None:
    text = f"{value:f}"
    expected = Fraction(text)
    spellings = [
        text,
        text + "000",
        text.replace("0.", ".", 1) if text.startswith("0.") else text,
        f"{value:,f}",
    ]
    for spelling in spellings:
        assert number(canonical(spelling)) == expected, spelling


@given(st.integers(-(10**40), 10**40), st.integers(-30, 30))
def test_powers_of_ten_are_read_exactly(mantissa: int, exponent: int) -> None:
    expected = Fraction(mantissa) * Fraction(10) ** exponent
    assert number(canonical(rf"{mantissa} \times 10^{{{exponent}}}")) == expected
    assert number(canonical(rf"{mantissa} \cdot 10^{{{exponent}}}")) == expected


@pytest.mark.parametrize(
    "text",
    ["", ".", "-", "1/0", r"\frac{1}{0}", "1,00", "12,34", "x", "1e5x", "--1", "1.2.3", "2 3", "9" * 401],
)
def test_what_is_no_plain_number(text: str) -> None:
    assert number(canonical(text)) is None


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        (r"5\text{ cm}", "5", "cm"),
        (r"15\mbox{ cm}^2", "15", "cm^2"),
        (r"864 \mbox{ inches}^2", "864", "in^2"),
        (r"15\text{ square centimeters}", "15", "cm^2"),
        (r"90^\circ", "90", "°"),
        ("90°", "90", "°"),
        (r"\frac{270}7\text{ degrees}", r"\frac{270}{7}", "°"),
        (r"\$18.90", "18.90", "$"),
        (r"-\$5", "-5", "$"),
        (r"10\%", "10", "%"),
        ("5 cm", "5", "cm"),
        ("5 m", "5", "m"),
        ("42 apples", "42", ""),
        (r"5.4 \text{ cents}", "5.4", "cent"),
        # algebra, not units
        ("5m", "5m", ""),
        ("4t", "4t", ""),
        ("2 k", "2 k", ""),
        (r"\text{east}", r"\text{east}", ""),
    ],
)
def test_units(text: str, value: str, unit: str) -> None:
    assert split_unit(clean(text)) == (value, unit)
