r"""Conditions as intervals: ``1 < x \le 2``, ``|x| > 3``, ``x \ne 2``, "all real numbers greater than 2"."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from evals.graders.math.brackets import COMMA, split
from evals.graders.math.form import Form, Interval
from evals.graders.math.leaves import is_name, leaf
from evals.graders.math.normalize import canonical, number

ORDERED: tuple[Interval, ...] = ("()", "[]", "(]", "[)")
RELATION = re.compile(r"(<=?|>=?|\\le(?![A-Za-z])|\\ge(?![A-Za-z]))")
_ABSOLUTE = re.compile(
    r"(?:\||\\[lr]?vert|\\mid)\s?([A-Za-z])(?:\s?([+-])\s?([^|\\]{1,40}?))?\s?(?:\||\\[lr]?vert|\\mid)"
)
_REALS = r"(?:\\mathbb\s?\{?R\}?|\\Re(?![a-z]))"
_WITHOUT = re.compile(rf"{_REALS}\s?(?:\\setminus|\\backslash|-|\\smallsetminus)\s?(\\\{{.{{1,80}}\\\}})")
_ALL_BUT = re.compile(
    r"(?:\\text\s?\{)?\s?all (?:real numbers?|reals)(?: x)? ?,? ?(?:except|other than|but) ?(?:for )?\}?\s?"
    r"(?:[a-z]\s?=\s?)?([^=<>a-z]{1,40}?)\}?"
)
_BOUNDED = re.compile(
    r"(?:all|any|every) (?:real )?(?:numbers?|values?|reals?)(?: of)?(?: [a-z])?,? (?:that (?:is|are) )?"
    r"(?P<side>greater|larger|more|less|smaller) than (?P<equal>or equal to )?(?P<bound>[^=<>a-z]{1,40})"
)
_NOT_EQUAL = re.compile(r"([A-Za-z])\s?\\ne\s?([^=<>]{1,80})")


def overlap(text: str, items: Sequence[Form]) -> Form | None:
    """``x > 1, x < 3`` as the interval: what two rays share, unless "or" joins them."""
    if ";" in text or len(items) != 2 or not items[0].name or items[0].name != items[1].name:
        return None
    rays = {item.items[0].value == "-\\infty": item for item in items if item.kind in ORDERED and item.items}
    if len(rays) != 2 or rays[False].items[1].value != "\\infty":
        return None
    low, high = rays[False].items[0], rays[True].items[1]
    ends = number(canonical(low.value)), number(canonical(high.value))
    if ends[0] is None or ends[1] is None or ends[0] >= ends[1]:
        return None
    kind = INTERVALS[rays[False].kind[0] == "[", rays[True].kind[1] == "]"]
    return Form(kind, text, name=items[0].name, items=(low, high))


def bounded(text: str) -> Form | None:
    """ "All real numbers greater than or equal to 2"."""
    if not (match := _BOUNDED.fullmatch(text)):
        return None
    bound, closed = match["bound"], bool(match["equal"])
    above = match["side"] in ("greater", "larger", "more")
    low, high = (bound, "\\infty") if above else ("-\\infty", bound)
    kind = INTERVALS[closed and low == bound, closed and high == bound]
    return Form(kind, text, items=(leaf(low), leaf(high)))


def without(text: str) -> Form | None:
    r"""``\mathbb{R} \setminus \{2\}`` and ``x \ne 2`` as a union of intervals, if the points are numbers."""
    name, points = "", ""
    if match := _WITHOUT.fullmatch(text):
        points = match[1][2:-2]
    elif match := _NOT_EQUAL.fullmatch(text):
        name, points = match.groups()
    elif text.startswith(("all", "\\text")) and (match := _ALL_BUT.fullmatch(text)):
        points = match[1]
    values = {point: number(canonical(point)) for point in split(points, COMMA)} if points else {}
    if not values or None in values.values():
        return None
    ends = ["-\\infty", *sorted(values, key=lambda point: values[point] or 0), "\\infty"]
    between = (Form("()", "", items=(leaf(low), leaf(high))) for low, high in itertools.pairwise(ends))
    return Form("union", text, name=name, items=tuple(between))


def interval(text: str) -> Form | None:
    """``a < x \\le b``, ``x > a``, ``|x| < a`` and the like as an interval named after its variable."""
    pieces = split(text, RELATION, keep=True)
    terms, signs = [piece.strip() for piece in pieces[::2]], [_sign(piece) for piece in pieces[1::2]]
    if len(terms) == 2 and all(terms):
        if is_name(terms[1]) and not is_name(terms[0]):
            terms, signs = terms[::-1], [_FLIPPED[signs[0]]]
        if terms[0].startswith("-") and is_name(terms[0][1:]):  # -x > -1
            terms, signs = [terms[0][1:].strip(), _opposite(terms[1])], [_FLIPPED[signs[0]]]
        if absolute := _ABSOLUTE.fullmatch(terms[0]):
            return _around(text, absolute, signs[0], terms[1])
        if not is_name(terms[0]) or is_name(terms[1]):
            return None
        name, bound, sign = terms[0], terms[1], signs[0]
        ends = ("-\\infty", bound) if sign[0] == "<" else (bound, "\\infty")
        closed = (sign == ">=", sign == "<=")
    elif len(terms) == 3 and all(terms) and is_name(terms[1]) and signs[0][0] == signs[1][0]:
        if signs[0][0] == ">":
            terms, signs = terms[::-1], [_FLIPPED[sign] for sign in reversed(signs)]
        name, ends = terms[1], (terms[0], terms[2])
        closed = (signs[0] == "<=", signs[1] == "<=")
    else:
        return None
    kind = INTERVALS[closed]
    return Form(kind, text, name=canonical(name), items=tuple(leaf(end) for end in ends))


def _opposite(latex: str) -> str:
    if number(canonical(latex)) is None:
        return f"-({latex})"
    return latex[1:] if latex.startswith("-") else f"-{latex}"


def _around(text: str, absolute: re.Match[str], sign: str, radius: str) -> Form:
    """``|x - c| < r`` as the interval around c, ``|x - c| > r`` as what is outside of it."""
    name, direction, centre = absolute.groups()
    if centre is None:
        low, high = f"-({radius})", radius
        if number(canonical(radius)) is not None:
            low = f"-{radius}"
    else:
        shift = f"-({centre})" if direction == "+" else centre
        low, high = f"{shift}-({radius})", f"{shift}+({radius})"
    closed = sign.endswith("=")
    if sign[0] == "<":
        return Form(INTERVALS[closed, closed], text, name=name, items=(leaf(low), leaf(high)))
    outside = (
        Form(INTERVALS[False, closed], "", items=(leaf("-\\infty"), leaf(low))),
        Form(INTERVALS[closed, False], "", items=(leaf(high), leaf("\\infty"))),
    )
    return Form("union", text, name=name, items=outside)


_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
INTERVALS: dict[tuple[bool, bool], Interval] = {
    (False, False): "()",
    (True, True): "[]",
    (False, True): "(]",
    (True, False): "[)",
}


def _sign(relation: str) -> str:
    return {"\\le": "<=", "\\ge": ">="}.get(relation, relation)
