"""Whether two SymPy expressions have the same values: to many digits, and at several points.

Two formulas that agree at a few points chosen beforehand, to 40 digits, are one function, for all that an
answer can be; and simplifying both to find out takes far longer. Points are drawn on all scales and with
both signs, so that ``|x|`` is not ``x`` and ``|x-10|`` not ``10-x``.

Where either value is not real the point is outside of the formulas' domain and says nothing, unless there is
no other: ``sqrt(4/k)`` is ``2/sqrt(k)``, although their branches differ for negative k.
"""

from __future__ import annotations

import hashlib
from typing import Any

import sympy

_DIGITS = 50
_MANY_DIGITS = 300  # to tell sqrt(10^40+1) from 10^20
_SLACK = 10  # digits that rounding may cost
_SCALES = (("+", 3), ("-", 3), ("+-", 1), ("-+", 40), ("++-", 0), ("-", 500), ("+", 500))
_LEAST = 2  # points that must have had something to say

_SURE_BITS = 8  # of a value that is not mere rounding
_ROUNDING = 1e-10

_Value = tuple[Any, Any]  # the real and the imaginary part

# What has no value at a point.
_NO_VALUE = (TypeError, ValueError, ArithmeticError, AttributeError, RecursionError, NotImplementedError)


def equal_at_points(first: Any, second: Any) -> bool | None:
    """Whether they are equal; None where no point tells (an undefined expression, an unknown function)."""
    symbols = sorted(first.free_symbols | second.free_symbols, key=str)
    if not symbols:
        return _equal(first, second, _MANY_DIGITS)
    told, outside = 0, []
    for place, (signs, scale) in enumerate(_SCALES):
        point = {symbol: _value(str(symbol), place, signs, scale) for symbol in symbols}
        values = _values(first, second, point, _DIGITS)
        if values is None:
            continue
        if any(value[1] for value in values):
            if bool(values[0][1]) != bool(values[1][1]) and first.has(sympy.Abs) != second.has(sympy.Abs):
                return False  # ln|x| is defined where ln x is not
            outside.append(values)
        elif not _close(*values, _DIGITS):
            return False
        else:
            told += 1
    if told < _LEAST and outside:
        return all(_close(*values, _DIGITS) for values in outside) if told + len(outside) >= _LEAST else None
    return True if told >= _LEAST else None


def _equal(first: Any, second: Any, digits: int) -> bool | None:
    """Whether two constants are equal, first by a few digits and then, where those agree, by many."""
    for precision in (20, digits):
        values = _values(first, second, {}, precision)
        if values is None:
            return None
        if not _close(*values, precision):
            return False
    return True


def _values(first: Any, second: Any, point: dict[Any, Any], digits: int) -> tuple[_Value, _Value] | None:
    values = []
    try:
        for expression in (first, second):
            found = _at(expression, point, digits)
            real, imaginary = found.as_real_imag()
            values.append((_accurate(real), _accurate(imaginary)))
    except _NO_VALUE:
        return None
    return values[0], values[1]


def _at(expression: Any, point: dict[Any, Any], digits: int) -> Any:
    """The value of an expression at a point, to so many digits."""
    if any(power.exp.free_symbols for power in expression.atoms(sympy.Pow)):
        # SymPy takes minutes over an exact power of one fraction to another.
        return expression.evalf(digits, subs=point, maxn=4 * digits)
    return sympy.N(expression.xreplace(point), digits, maxn=4 * digits)


def _accurate(value: Any) -> Any:
    """A number; 0 where not one of its digits is sure, as where equal terms cancel.

    Raises:
        TypeError: it is none.
    """
    if not value.is_number or value.has(sympy.nan, sympy.zoo, sympy.I):
        raise TypeError
    if value.is_infinite:
        return value
    if not (value.is_Float or value.is_Rational):
        raise TypeError
    if not value.is_Float or value._prec >= _SURE_BITS:
        return value
    if abs(value) > _ROUNDING:
        raise TypeError  # too many digits cancelled to tell
    return sympy.S.Zero


def _close(one: _Value, two: _Value, digits: int) -> bool:
    if one == two:
        return True
    if any(part.is_infinite for part in (*one, *two)):
        return False
    size = max(abs(part) for part in (*one, *two))
    room = size * sympy.Float(10, 15) ** (_SLACK - digits)
    return all(abs(mine - other) <= room for mine, other in zip(one, two, strict=True))


def _value(name: str, place: int, signs: str, scale: int) -> Any:
    """A number for a letter at a point: a fraction that nobody would write, the same in every process."""
    digest = hashlib.blake2b(f"{name}/{place}".encode(), digest_size=8).digest()
    share = sympy.Rational(int.from_bytes(digest[:4], "big") | 1, 2**32)
    sign = -1 if signs[digest[4] % len(signs)] == "-" else 1
    return sign * (share if scale == 0 else scale * share + sympy.Rational(1, 7))
