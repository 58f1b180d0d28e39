"""Numbers of arrangements as schools write them: ``P(5,2)``, ``_5P_2``, ``5P2``, ``A_5^2``."""

from __future__ import annotations

import math
import re
from fractions import Fraction

_FIGURES = r"\{?\s?(\d{1,3})\s?\}?"
# The letter, then of how many, then how many; where one is above the other, either may be either.
_CALLED = re.compile(r"(?:n\s?)?([PCA])(?:\s?r)?\s?\(\s?(\d{1,3})\s?,\s?(\d{1,3})\s?\)")
_AROUND = re.compile(rf"(?:\{{\s?\}})?\s?[_^]\s?{_FIGURES}\s?([PCA])\s?_\s?{_FIGURES}")
_INFIX = re.compile(r"(\d{1,3})\s?([PCA])\s?(\d{1,3})")
_STACKED = re.compile(rf"([PCA])\s?(?:_\s?{_FIGURES}\s?\^\s?{_FIGURES}|\^\s?{_FIGURES}\s?_\s?{_FIGURES})")


def arrangements(text: str) -> Fraction | None:
    """The number that ``text`` denotes; None where it is no such notation."""
    if match := _CALLED.fullmatch(text):
        letter, many, chosen = match.groups()
    elif match := _AROUND.fullmatch(text) or _INFIX.fullmatch(text):
        many, letter, chosen = match.groups()
    elif match := _STACKED.fullmatch(text):
        letter, one, two = (group for group in match.groups() if group)
        many, chosen = max(one, two, key=int), min(one, two, key=int)
    else:
        return None
    count = math.comb if letter == "C" else math.perm
    return Fraction(count(int(many), int(chosen)))
