r"""Equivalence by SymPy and math-verify, for what ``exact.py`` left open. Runs in worker processes only.

Leaves are parsed by latex2sympy2 with small and capital letters kept apart (its default makes ``r/R`` and
``R/r`` the same), without stripping units (it would drop the t of ``4t``). Two expressions are compared by
their values, to many digits and at several points (``points.py``); what has no values (equations, sets,
sequences) is left to math-verify, at the same precision: its default takes 1/30! for 1/31!.

``forbid_evaluation`` must have been called in the process: SymPy turns strings into expressions by running
them as Python, and computes towers of powers that no memory holds.
"""

from __future__ import annotations

import cmath
import hashlib
import logging
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import sympy
from latex2sympy2_extended import NormalizationConfig, is_expr_of_only_symbols, normalize_latex
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, _Latex2Sympy
from math_verify import verify
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.parsing import sympy_parser

from evals.graders.math import exact
from evals.graders.math.form import Form
from evals.graders.math.forms import parse
from evals.graders.math.limits import limit_arithmetic, too_large
from evals.graders.math.points import equal_at_points
from evals.graders.math.units import conversion
from evals.graders.math.votes import Sort

Outcome = Literal["equal", "different", "gold unreadable"]

# Limits are the caller's; math-verify would say so at every start.
logging.getLogger("math_verify").setLevel(logging.ERROR)

_NORMALIZATION = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none"
)
_CONVERSION = ConversionConfig(lowercase_symbols=False)
_LITERAL = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?")
_NAME = re.compile(r"[A-Za-z_]\w{0,63}")
_DIGITS = 60

_PRIMES = re.compile(
    r"([A-Za-z])('+)"
)  # latex2sympy2 reads x' as x, I as i, and the two gammas as Euler's constant
_MIXED = re.compile(r"(?<![\w.^}])(\d{1,30})\s?(\\frac\s?\{\s?\d{1,30}\s?\}\s?\{\s?\d{1,30}\s?\})")
_CHOOSE = re.compile(
    r"(?:\{\s?\})?[_^]\{?(\w{1,9})\}?\s?C\s?_\{?(\w{1,9})\}?|(?<![A-Za-z\\])C\((\d{1,9}), ?(\d{1,9})\)"
)
_STACKED = re.compile(r"(?<![A-Za-z\\])C\s?_\s?(?:\{(\w{1,3})\}|(\w))\s?\^\s?(?:\{(\w{1,3})\}|(\w))")
_INFIX = re.compile(r"(?<![\w.])(\d{1,3})C(\d{1,3})(?!\w)")
_COMMON_LOGARITHM = re.compile(r"\\lg(?![A-Za-z])")
_DEGREES = re.compile(r"(\d[\d.]*|\([^()]{1,60}\)|\\?[A-Za-z]+)\s?\^\s?\{?\s?\\circ\s?\}?")
_CAPITAL_GAMMA = re.compile(r"\\Gamma(?![A-Za-z])(?!\s?[({])")
_CAPITAL_I = re.compile(r"\\text\s?\{[^{}]*\}|\\[A-Za-z]+|I(?:_\{?(\w+)\}?)?")
_CAPITALS = {sympy.Symbol(name): sympy.Symbol(f"{name}_capital") for name in "E"}
_IMAGINARY = (sympy.Symbol("i"), sympy.Symbol("imath"))
_BASED = re.compile(r"(?<![\w.}])([0-9A-F]{1,40})_\{?(\d{1,2})\}?")
_DEGREE_SIGN = re.compile(r"\s?\^\s?\{?\s?\\circ(?![A-Za-z])\s?\}?")
# Functions, whose value in degrees is another, and \pi, which says that an angle is in radians.
_BEYOND_ARITHMETIC = re.compile(r"\\(?!circ|frac|alpha|beta|gamma|theta|phi|angle|cdot|times)[A-Za-z]")
_ANGLE = re.compile(r"\\(angle|triangle)\s?\{?\s?([A-Z]{2,4})(?![A-Za-z])\s?\}?")
_DERIVATIVE = re.compile(r"\\frac\s?\{\s?d\s?([A-Za-z])\s?\}\s?\{\s?d\s?([A-Za-z])\s?\}")
_CIS = re.compile(
    r"\\(?:text|operatorname)\s?\{\s?cis\s?\}\s?"
    r"(?:\{((?:[^{}]|\{[^{}]*\})*)\}|(\([^()]*\)|\\frac\s?\{[^{}]*\}\{[^{}]*\}|[\w\\]+))"
)
_NATURAL = re.compile(r"\\ln(?![A-Za-z])")
_LOGARITHM = re.compile(r"\\log(?![A-Za-z])(?!\s?_)")
_CALLED_NATURAL = re.compile(r"\\(?:text|operatorname)\s?\{\s?(ln|log|exp|lcm|gcd|Re|Im)\s?\}")


class GoldUnreadableError(Exception):
    """The gold answer cannot be parsed: nothing can be said about an answer that differs from it."""


class _Reader(_Latex2Sympy):  # type: ignore[misc]
    """latex2sympy2's reader without its mixed numbers: of any two numbers side by side, 2(3) is 5 to it."""

    def convert_postfix_list(self, arr: Sequence[Any], i: int = 0) -> Any:
        """The product of the factors from the i-th on."""
        factor = self.convert_postfix(arr[i])
        if i == len(arr) - 1 and not isinstance(factor, list):
            return factor
        others = self.convert_postfix_list(arr, i + 1)
        if isinstance(factor, list):
            return sympy.Derivative(others, factor[0])
        if isinstance(factor, sympy.MatrixBase) or isinstance(others, sympy.MatrixBase):
            return self.mat_mul_flat(factor, others)
        return self.mul_flat(factor, others)


def forbid_evaluation() -> None:
    """Makes SymPy read an exact number or a name where it would run Python, and refuse everything else.

    Integers of more than a million bits are refused too, before they are computed.
    """
    sympy.simplify(sympy.Symbol("x"))  # imports modules that define their constants from text
    sympy_parser.parse_expr = _read_literal
    sympy_parser.eval_expr = _refuse
    limit_arithmetic()


def compare(gold: str, answer: str, percent: bool = False) -> Outcome:
    """Whether ``answer`` means ``gold``. May take very long or exhaust memory: the caller sets limits."""
    try:
        equal = exact.means(gold, answer, lambda g, a: _leaf(g, a, percent))
    except GoldUnreadableError:
        return "gold unreadable"
    return "equal" if equal else "different"


def readable(gold: str) -> bool:
    """Whether every part of a gold answer is a number, words, or a formula that can be parsed."""
    return _all_readable(parse(gold))


def _all_readable(form: Form) -> bool:
    if form.kind in ("time", "date"):
        return True
    if form.kind != "leaf":
        return all(_all_readable(item) for item in form.items if item.text or item.items)
    return exact.needs_no_algebra(form) or _read(form.value) is not None


def _leaf(gold: Form, answer: Form, percent: bool) -> bool:
    decided = exact.leaf(gold, answer, percent)
    if decided is not None:
        return decided
    gold_text, answer_text = _in_one_unit(gold, answer)
    gold_text, answer_text = _one_degree(*_one_logarithm(gold_text, answer_text))
    expected = _read(gold_text)
    if expected is None:
        raise GoldUnreadableError
    given = None if exact.is_no_value(answer_text) else _read(answer_text)
    if given is None:
        return False
    if isinstance(expected, sympy.Expr) and isinstance(given, sympy.Expr):
        if _is_letters(expected) or _is_letters(given):
            if _letters(expected) != _letters(given):
                return False
        else:
            equal = equal_at_points(expected, given)
            if equal is not None:
                return equal
    return bool(
        verify(
            expected,
            given,
            float_rounding=_DIGITS,
            numeric_precision=_DIGITS,
            allow_set_relation_comp=True,
            timeout_seconds=None,
        )
    )


def _one_degree(gold: str, answer: str) -> tuple[str, str]:
    r"""``180^\circ - a`` and ``180 - a``: where one side counts in degrees without saying so, both do."""
    marked = [_DEGREE_SIGN.search(text) is not None for text in (gold, answer)]
    if marked[0] == marked[1] or any(_BEYOND_ARITHMETIC.search(text) for text in (gold, answer)):
        return gold, answer
    return _DEGREE_SIGN.sub("", gold), _DEGREE_SIGN.sub("", answer)


def _is_letters(expression: Any) -> bool:
    """Whether an expression is a letter or a product of letters, which may be a word."""
    return bool(expression.is_Symbol or (expression.is_Mul and is_expr_of_only_symbols(expression)))


def _letters(expression: Any) -> set[str]:
    """The letters of the symbols: ``ab`` may be read as a word or as a product, but has the same letters."""
    return {character for symbol in expression.free_symbols for character in symbol.name}


def _in_one_unit(gold: Form, answer: Form) -> tuple[str, str]:
    """Both values as LaTeX, the gold's and the answer's, in a unit that they share."""
    if exact.percentages(gold, answer) or exact.is_angle_in_radians(gold, answer):
        return _plain(gold), _plain(answer)
    factor = conversion(gold.unit, answer.unit)
    if factor is None or factor == 1:
        return gold.value, answer.value
    return gold.value, f"\\frac{{{factor.numerator}}}{{{factor.denominator}}} \\cdot ({answer.value})"


def _plain(form: Form) -> str:
    """The value without its unit: a percentage as the share it is, an angle in radians."""
    if form.unit == "%":
        return f"\\frac{{{form.value}}}{{100}}"
    return f"\\frac{{({form.value}) \\cdot \\pi}}{{180}}" if form.unit == "°" else form.value


def _one_logarithm(gold: str, answer: str) -> tuple[str, str]:
    r"""Where one side writes ``\ln`` and the other a bare ``\log``, both mean the natural logarithm."""
    natural = [_NATURAL.search(text) is not None for text in (gold, answer)]
    bare = [_LOGARITHM.search(text) is not None for text in (gold, answer)]
    if natural[0] and bare[1] and not natural[1]:
        return gold, _LOGARITHM.sub(r"\\ln", answer)
    if natural[1] and bare[0] and not natural[0]:
        return _LOGARITHM.sub(r"\\ln", gold), answer
    return gold, answer


def sort(leaf: str) -> Sort | None:
    """What kind of thing a leaf is, and its value; None where it is of no known kind.

    Leaves that mean the same have the same value but for rounding.
    """
    found = _read(leaf)
    if isinstance(found, sympy.MatrixBase):
        return Sort("matrix")
    if not isinstance(found, sympy.Expr):
        return None
    if is_expr_of_only_symbols(found):
        return Sort("letters")
    point = {symbol: _stand_in(str(symbol)) for symbol in found.free_symbols}
    try:
        value = complex(sympy.N(found.xreplace(point), 20, maxn=100))
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return None  # no number came out
    return Sort("formula" if point else "number", value) if cmath.isfinite(value) else None


def _stand_in(name: str) -> Any:
    """A number between 1 and 4 for a letter, the same in every process."""
    digest = hashlib.blake2b(name.encode(), digest_size=4).digest()
    return 1 + sympy.Rational(3 * int.from_bytes(digest, "big"), 2**32)


@lru_cache(maxsize=4096)
def _read(latex: str) -> Any:
    """The expression that a leaf denotes; None where it cannot be read."""
    text = " ".join(latex.replace("\\$", " ").replace("$", " ").split())
    if not text:
        return None
    text = _BASED.sub(_based_value, _CALLED_NATURAL.sub(r"\\\1 ", text))
    text = _CHOOSE.sub(lambda match: f"\\binom{{{match[1] or match[3]}}}{{{match[2] or match[4]}}}", text)
    text = _INFIX.sub(r"\\binom{\1}{\2}", _STACKED.sub(_stacked, text))
    text = _COMMON_LOGARITHM.sub(r"\\log_{10}", text)
    text = _MIXED.sub(r"(\1+\2)", text)
    text = _CIS.sub(lambda match: f"e^{{i {match[1] or match[2]}}}", text)
    text = _DERIVATIVE.sub(r"\\Psi_{d\1d\2}", text)
    text = _ANGLE.sub(_corners, text)
    text = _DEGREES.sub(r"(\\frac{\1 \\cdot \\pi}{180})", text)
    text = _PRIMES.sub(lambda match: f"{match[1]}_{{{'p' * len(match[2])}}}", text)
    text = _CAPITAL_I.sub(_letter_i, text)
    text = _CAPITAL_GAMMA.sub(r"\\Psi_{G}", text)
    try:
        found = _Reader(config=_CONVERSION).parse(normalize_latex(text, _NORMALIZATION))
        return None if too_large(found) else _with_imaginary_unit(_with_capitals(found))
    except Exception:  # whatever a parser makes of a model's text
        return None


def _with_imaginary_unit(found: Any) -> Any:
    """The letter i as the square root of -1, which latex2sympy2 does not know, unless a sum runs over it."""
    if not isinstance(found, (sympy.Basic, sympy.MatrixBase)) or not found.has(*_IMAGINARY):
        return found
    if any(_IMAGINARY[0] in node.bound_symbols for node in found.atoms(ExprWithLimits)):
        return found
    return found.xreplace(dict.fromkeys(_IMAGINARY, sympy.I))


def _with_capitals(found: Any) -> Any:
    """The letter E under another name: math-verify takes it for the constant e."""
    if not isinstance(found, (sympy.Basic, sympy.MatrixBase)) or not found.has(*_CAPITALS):
        return found
    return found.xreplace(_CAPITALS)


def _corners(match: re.Match[str]) -> str:
    """An angle or triangle as one symbol: ABC is the angle CBA, and not ACB."""
    kind, letters = match[1], match[2]
    letters = min(letters, letters[::-1]) if kind == "angle" else "".join(sorted(letters))
    return f"\\Psi_{{{kind[0]}{letters}}}"


def _stacked(match: re.Match[str]) -> str:
    """``C_{10}^3`` as a binomial coefficient; ``C_1^2`` is the square of a constant."""
    many, chosen = match[1] or match[2], match[3] or match[4]
    both = many.isdigit() and chosen.isdigit()
    if (both and int(many) < int(chosen)) or (not both and {many, chosen} - set("nmkr")):
        return match[0]
    return f"\\binom{{{many}}}{{{chosen}}}"


def _letter_i(match: re.Match[str]) -> str:
    return f"\\Psi_{{I{match[1] or ''}}}" if match[0][0] == "I" else match[0]


def _based_value(match: re.Match[str]) -> str:
    """``11_2`` as 3: latex2sympy2 would ignore the base."""
    try:
        return f"{int(match[1], int(match[2]))}"
    except ValueError:
        return match[0]


def _read_literal(text: str, *_: object, **__: object) -> Any:
    text = text.strip()
    if _NAME.fullmatch(text):
        return sympy.Symbol(text)
    if not _LITERAL.fullmatch(text):
        raise ValueError("only numbers and names are read from text here")
    value = Fraction(text)
    return sympy.Rational(value.numerator, value.denominator)


def _refuse(*_: object, **__: object) -> Any:
    raise ValueError("nothing is evaluated here")
