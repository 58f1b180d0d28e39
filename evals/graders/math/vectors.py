r"""Vectors as sums of the unit vectors: ``3\mathbf{i}-4\mathbf{j}``, ``2\hat{\imath}+\hat{k}``, ``3i+4j``."""

from __future__ import annotations

import re

from evals.graders.math.brackets import split

_SIGN = re.compile(r"(?<![\^_({])[+-]")
# In ``normalize.clean`` spelling, where bold and upright letters are text.
_MARKED = re.compile(
    r"(?:\\text\s?\{\s?([ijk])\s?\}|\\(?:hat|widehat|vec|overline|bar|overrightarrow)\s?\{?\s?\\?([ijk])(?:math)?\s?\}?)$"
)
_BARE = re.compile(r"(?<![A-Za-z\\])([ijk])$")
_AXES = "ijk"


def components(text: str) -> tuple[str, ...] | None:
    """The coordinates of a vector, two of them where there is no k; None where ``text`` is none.

    Letters without a mark must include i and one more: ``3i`` is a complex number.
    """
    if not any(axis in text for axis in _AXES):
        return None
    pieces = split(text, _SIGN, keep=True)
    signs, terms = pieces[1::2], pieces[::2]
    if not terms[0]:
        terms = terms[1:]
    else:
        signs = ["+", *signs]
    found: dict[str, str] = {}
    marked: set[bool] = set()
    for sign, term in zip(signs, terms, strict=True):
        match = _MARKED.search(term) or _BARE.search(term)
        if match is None:
            return None
        axis = next(group for group in match.groups() if group)
        coefficient = term[: match.start()].strip().removesuffix("\\cdot").strip() or "1"
        if axis in found or any(letter in coefficient for letter in ("\\text", "\\hat", "\\vec", "i", "j")):
            return None
        marked.add(match.re is _MARKED)
        found[axis] = _negative(coefficient) if sign == "-" else coefficient
    if len(marked) != 1 or (marked == {False} and not ("i" in found and len(found) > 1)):
        return None
    return tuple(found.get(axis, "0") for axis in (_AXES if "k" in found else "ij"))


def _negative(coefficient: str) -> str:
    return f"-{coefficient}" if coefficient.replace(".", "").isdigit() else f"-({coefficient})"
