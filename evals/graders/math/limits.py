r"""Numbers that are too large to be computed, told before they are.

``9^{9^{9^9}}`` is a number that no memory holds. ``too_large`` estimates the size of every number in an
expression from the sizes of its parts; ``limit_arithmetic`` makes SymPy itself refuse the same (an
expression grows when letters are given values).
"""

from __future__ import annotations

from typing import Any

import sympy
from sympy.core.numbers import Integer, Rational
from sympy.functions.combinatorial import factorials

_MOST_BITS = 1_000_000.0
_LETTER_BITS = 10.0  # of what a letter may stand for
_GROWING = (factorials.factorial, factorials.factorial2, factorials.subfactorial, factorials.binomial)


class TooLargeError(ArithmeticError):
    """A number that would take too much time or memory to compute."""


def too_large(found: Any) -> bool:
    """Whether an expression, or a part of a matrix, set or relation, needs more than a million bits."""
    try:
        _bits(found)
    except (TooLargeError, OverflowError, RecursionError):
        return True
    return False


def limit_arithmetic() -> None:
    """Makes SymPy raise TooLargeError for powers and factorials of more than a million bits."""
    for kind in (Integer, Rational):
        _limit_power(kind)
    for function in _GROWING:
        _limit_function(function)


def _bits(found: Any) -> float:
    """An upper estimate of log2 of the largest number in ``found``, its denominators included."""
    if isinstance(found, sympy.MatrixBase):
        return max((_bits(cell) for cell in found.flat()), default=1.0)
    if isinstance(found, Rational):
        return float(max(found.p.bit_length(), found.q.bit_length(), 1))
    parts = [_bits(part) for part in getattr(found, "args", ()) if hasattr(part, "args")]
    if not parts:
        return _LETTER_BITS if isinstance(found, sympy.Symbol) else 2.0
    if isinstance(found, sympy.Pow):
        _base, exponent = found.args
        return _checked(parts[0] * max(1.0, _magnitude(exponent, parts[1])))
    if isinstance(found, _GROWING):
        count = _magnitude(found.args[-1], parts[-1])
        return _checked(max(1.0, count) * max(parts))
    if isinstance(found, sympy.exp):
        return _checked(1.5 * _magnitude(found.args[0], parts[0]))
    return _checked(sum(parts))


def _magnitude(expression: Any, bits: float) -> float:
    """How large an exponent is; letters stand for something small."""
    if isinstance(expression, Rational):
        return abs(float(expression)) if bits < 1000 else float("inf")
    if isinstance(expression, sympy.Symbol) or expression.free_symbols:
        return min(2.0**bits, 1000.0) if bits < 64 else float("inf")
    return float(2.0**bits) if bits < 64 else float("inf")


def _checked(bits: float) -> float:
    if bits > _MOST_BITS:
        raise TooLargeError
    return bits


def _limit_power(kind: Any) -> None:
    computed = kind._eval_power

    def limited(base: Any, exponent: Any) -> Any:
        bits = max(base.p.bit_length(), base.q.bit_length())
        if bits > 1 and exponent.is_Rational and abs(exponent) * bits > _MOST_BITS:
            raise TooLargeError
        return computed(base, exponent)

    kind._eval_power = limited


def _limit_function(function: Any) -> None:
    computed = function.eval.__func__

    def limited(cls: Any, *arguments: Any) -> Any:
        if any(argument.is_Number and abs(argument) > _MOST_BITS / 20 for argument in arguments[-1:]):
            raise TooLargeError
        return computed(cls, *arguments)

    function.eval = classmethod(limited)
