r"""Quantities in two or three units: "5 ft 3 in", "2 hours and 30 minutes", "3 dollars and 25 cents"."""

from __future__ import annotations

import re
from fractions import Fraction

from evals.graders.math.units import conversion, known_unit

_TEXT = re.compile(r"\\text\s?\{([^{}]*)\}")
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s?(?:\\,)?\s?([A-Za-z]{1,12})\.?")
_JOINT = re.compile(r"\s?(?:,|;|and\b|,\s?and\b)?\s?")
_PRIMES = re.compile(r"(\d{1,3})\s?'\s?(\d{1,2}(?:\.\d{1,4})?)\s?(?:''|\")")  # 5'3"
_MOST_PARTS = 3
_LONGEST = 80


def compound(text: str) -> tuple[Fraction, str] | None:
    """The value in the last unit, and that unit; None where ``text`` is no such quantity.

    Each unit is of the same kind as the one before and smaller, and its count less than one of those: "5 ft,
    30 in" is a list of two lengths.
    """
    if len(text) > _LONGEST or not text[:1].isdigit():
        return None
    plain = " ".join(_TEXT.sub(r" \1 ", text).split())
    if feet := _PRIMES.fullmatch(plain):
        inches = Fraction(feet[2])
        return (12 * int(feet[1]) + inches, "in") if inches < 12 else None
    total, unit, place, count = Fraction(0), "", 0, 0
    while match := _PART.match(plain, place):
        name = "min" if unit == "h" and match[2] == "m" else known_unit(match[2])
        if not name:
            return None
        value = Fraction(match[1])
        if count:
            smaller = conversion(name, unit)
            if unit == name or smaller is None or smaller <= value or smaller <= 1:
                return None
            total *= smaller
        total, unit, count = total + value, name, count + 1
        joint = _JOINT.match(plain, match.end())
        place = joint.end() if joint else match.end()
        if match.end() == len(plain):
            return (total, unit) if 2 <= count <= _MOST_PARTS else None
    return None
