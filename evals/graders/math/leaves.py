"""A single value with its unit, what is said in words instead of one, and what is a name."""

from __future__ import annotations

import re

from evals.graders.math.form import Form
from evals.graders.math.normalize import canonical
from evals.graders.math.units import split_unit

EMPTY = r"\emptyset"
_NAME = re.compile(
    r"(?:\\?[A-Za-z]+|\\text\{[^{}]*\}|\\(?:angle|overline|vec|hat|mathbf)\s?\{?[A-Za-z]+\}?)"
    r"(?:_\{?\w+\}?)?'{0,3}(?:(?:\^\{-1\})?\s?\([^()=]*\))?"
)
_CONSTANTS = frozenset(("\\pi", "\\infty", "e", "i"))
# Without spaces, as ``canonical`` has it.
_NO_SOLUTION = re.compile(
    r"(?:there(?:is|are))?no(?:such)?(?:real|integer|positive|valid)?(?:solutions?|roots?|values?|numbers?|(?<=such)[a-z])(?:exists?)?"
)
_DIVERGES = re.compile(r"(?:diverges|tends|goes)to\+?(?:infinity|\\infty)")
_APPROX = re.compile(r"\\approx(?![A-Za-z])")
_SAID = {
    r"\emptyset": (
        "no solution|no solutions|no real solution|no real solutions|there is no solution|"
        "there are no solutions|"
        "there are no real solutions|none|empty set|the empty set|no roots|no real roots|empty|no values|"
        "no such values"
    ),
    r"\mathbb{R}": (
        "all real numbers|all reals|all real|the real numbers|real numbers|any real number|every real number|"
        "the reals"
    ),
    r"\infty": "infinity|positive infinity|infinite|+infinity|infty|inf|oo",
    r"\text{does not exist}": "dne|does not exist|the limit does not exist|doesn't exist",
    r"\mathbb{Z}": "all integers|the integers|any integer",
}  # fmt: skip
_SAYINGS = {canonical(phrase): latex for latex, phrases in _SAID.items() for phrase in phrases.split("|")}


def leaf(text: str) -> Form:
    stated = _exact_side(text)
    plain = canonical(stated).casefold()
    said = _SAYINGS.get(plain) or (EMPTY if _NO_SOLUTION.fullmatch(plain) else "")
    said = said or ("\\infty" if _DIVERGES.fullmatch(plain) else "")
    if said:
        return Form("leaf", text, value=said)
    value, unit = split_unit(stated)
    return Form("leaf", text, value=value.strip() or stated, unit=unit)


def _exact_side(text: str) -> str:
    r"""What ``\sqrt{51} \approx 7.14`` states exactly; the figures where nothing does (``x \approx 5``)."""
    before, *after = (part.strip() for part in _APPROX.split(text, maxsplit=1))
    if after and after[0] and (not before or is_name(before)):
        return after[0]
    return before or text


def is_name(text: str) -> bool:
    """Whether ``text`` names something: ``x``, ``f(x)``, ``x_1``, ``\\text{Area}``, ``\\angle ABC``."""
    text = text.strip()
    return text not in _CONSTANTS and _NAME.fullmatch(text) is not None
