r"""Equivalence by SymPy and math-verify, for what ``exact.py`` left open. Runs in worker processes only.

Leaves are parsed by math-verify's LaTeX parser with its unit stripping off (it would drop the t of ``4t``)
and its plain-expression parser off (that one hands the model's text to SymPy's ``parse_expr``). Decimals
are read as exact fractions, because math-verify's tolerance for floats takes 3.4641016 for ``2\sqrt{3}``.

``forbid_evaluation`` must have been called in the process: SymPy turns strings into expressions by running
them as Python.
"""

from __future__ import annotations

import cmath
import hashlib
import logging
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import sympy
from latex2sympy2_extended import NormalizationConfig, is_expr_of_only_symbols
from math_verify import LatexExtractionConfig, verify
from math_verify import parse as parse_latex
from sympy.parsing import sympy_parser

from evals.grading import exact
from evals.grading.forms import Form, parse, same
from evals.grading.votes import Sort

Outcome = Literal["equal", "different", "gold unreadable"]

# Limits are the caller's; math-verify would say so at every start.
logging.getLogger("math_verify").setLevel(logging.ERROR)

_CONFIG = (
    LatexExtractionConfig(
        boxed_match_priority=-1,
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none"
        ),
    ),
)
_LITERAL = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?")

_CLEARLY = 1e-9
_NAME = re.compile(r"[A-Za-z_]\w{0,63}")


class GoldUnreadableError(Exception):
    """The gold answer cannot be parsed: nothing can be said about an answer that differs from it."""


def forbid_evaluation() -> None:
    """Makes SymPy read an exact number or a name where it would run Python, and refuse everything else."""
    sympy.simplify(sympy.Symbol("x"))  # imports modules that define their constants from text
    sympy_parser.parse_expr = _read_literal
    sympy_parser.eval_expr = _refuse


def compare(gold: str, answer: str, percent: bool = False) -> Outcome:
    """Whether ``answer`` means ``gold``. May take very long or exhaust memory: the caller sets limits."""
    try:
        equal = same(parse(gold), parse(answer), lambda g, a: _leaf(g, a, percent))
    except GoldUnreadableError:
        return "gold unreadable"
    return "equal" if equal else "different"


def _leaf(gold: Form, answer: Form, percent: bool) -> bool:
    decided = exact.leaf(gold, answer, percent)
    if decided is not None:
        return decided
    gold_text, answer_text = gold.value, answer.value
    if exact.percentages(gold, answer):
        gold_text, answer_text = _share(gold), _share(answer)
    expected = _read(gold_text)
    if expected is None:
        raise GoldUnreadableError
    given = _read(answer_text)
    if given is None:
        return False
    if _certainly_different(expected, given):
        return False
    return bool(verify(expected, given, allow_set_relation_comp=True, timeout_seconds=None))


def _certainly_different(first: Any, second: Any) -> bool:
    """Whether two expressions differ at one point: much cheaper than failing to simplify.

    False says nothing. Products of letters are left to ``verify``, which also reads them as words.
    """
    if not (isinstance(first, sympy.Expr) and isinstance(second, sympy.Expr)):
        return False
    if is_expr_of_only_symbols(first) or is_expr_of_only_symbols(second):
        return False
    symbols = sorted(first.free_symbols | second.free_symbols, key=str)
    point = {symbol: sympy.Rational(1371 + 719 * place, 1000) for place, symbol in enumerate(symbols)}
    try:
        one, two = (sympy.N(expression.xreplace(point), 20, maxn=100) for expression in (first, second))
        return bool(abs(one - two) > _CLEARLY * (1 + abs(two)))
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return False  # no number came out


def sort(leaf: str) -> Sort | None:
    """What kind of thing a leaf is, and its value; None where it is of no kind that is told apart.

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


def _share(form: Form) -> str:
    return f"\\frac{{{form.value}}}{{100}}" if form.unit == "%" else form.value


@lru_cache(maxsize=4096)
def _read(latex: str) -> Any:
    """The expression that a leaf denotes; None where it cannot be read."""
    text = " ".join(latex.replace("$", " ").split())
    found = parse_latex(f"${text}$", _CONFIG, fallback_mode="no_fallback", parsing_timeout=None)
    return found[0] if found else None


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
