r"""The shape of an answer: leaf, list, set, tuple, interval, union, and what ``special.py`` adds.

Shapes are told apart in the text, because a computer algebra system forgets them: ``(1,2)`` as a point, as an
open interval and ``\{1,2\}`` are three answers. ``meaning.py`` says when two shapes mean the same.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from evals.graders.math.brackets import partner, split
from evals.graders.math.compound import compound
from evals.graders.math.form import Form, Interval
from evals.graders.math.normalize import IN_ONE_SPELLING, canonical, clean, number
from evals.graders.math.special import ratio, special
from evals.graders.math.units import split_unit
from evals.graders.math.vectors import components

ORDERED: tuple[Interval, ...] = ("()", "[]", "(]", "[)")
EMPTY = r"\emptyset"
_DEEPEST = 6
_MOST_ITEMS = 64

_NAME = re.compile(
    r"(?:\\?[A-Za-z]+|\\text\{[^{}]*\}|\\(?:angle|overline|vec|hat|mathbf)\s?\{?[A-Za-z]+\}?)"
    r"(?:_\{?\w+\}?)?'{0,3}(?:\s?\([^()=]*\))?"
)
_NAMES = re.compile(r"\([A-Za-z](?:\s?,\s?[A-Za-z]){1,5}\)")
COMMA = re.compile(r"[,;]")
EQUALS = re.compile(r"(?<![<>!=\\])=(?!=)")
_CONSTANTS = frozenset(("\\pi", "\\infty", "e", "i"))
_ELEMENT = re.compile(r"^(.{1,60}?)\\in(?![A-Za-z])\s?(.+)$")
_RELATION = re.compile(r"(<=?|>=?|\\le(?![A-Za-z])|\\ge(?![A-Za-z]))")
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])|\\mp(?![A-Za-z])")
_UNION = re.compile(r"\\cup(?![A-Za-z])")
_CONNECTIVE = re.compile(r"\\(?:lor|vee|land|wedge)(?![A-Za-z])")
_COMPARED = re.compile(r"[=<>]|\\[lg]e(?![A-Za-z])")
# Without spaces, as ``canonical`` has it.
_NO_SOLUTION = re.compile(
    r"(?:there(?:is|are))?no(?:such)?(?:real|integer|positive|valid)?(?:solutions?|roots?|values?|numbers?|(?<=such)[a-z])(?:exists?)?"
)
_DIVERGES = re.compile(r"(?:diverges|tends|goes)to\+?(?:infinity|\\infty)")
_WORD = re.compile(r"(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])")
_BOTH = re.compile(r"\band\b|\\land(?![A-Za-z])|\\wedge(?![A-Za-z])|∧|&")
_EITHER = re.compile(r"\bor\b|\\lor(?![A-Za-z])|\\vee(?![A-Za-z])|∨|\\cup")
_APPROX = re.compile(r"\\approx(?![A-Za-z])")
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
# "f(x) = x + c for any real constant c": what follows explains, and so does a condition after a comma.
_QUALIFIER = re.compile(
    r"\s?,?\s?\\text\s?\{\s?,?\s?"
    r"(?:for|where|with|given|provided|respectively|in total|altogether|in all)\b[^{}]*\}.*$"
    r"|\s?,?\s(?:for (?:any|all|some|every|each)|where|respectively|in total|altogether|in all)\b.*$"
    r"|\s\((?:since|because|approximately|approx\.?|as|where|rounded|exactly|about|including|counting)\b[^()]*\)$"
    r"|\s?[,;]\s?[A-Za-z]\s?\\ne\s?[^,;]{1,40}$"
    r"|\s?[,;]\s?(?:\\quad\s?)?(?:\\forall\s?)?\\?[A-Za-z]+(?:_\w)?\s?\\in\s?\\mathbb\s?\{?[A-Z]\}?(?:\^[+*-])?$",
    re.DOTALL,
)
# "2n+1, n >= 1"; but "x > 1, x < 3" are two of a kind.
_CONDITION = re.compile(r"\s?[,;]\s?(?:\\quad\s?)?[a-z]\s?(?:\\ge|\\le|>|<)(?![A-Za-z])[^,;<>]{1,20}$")
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


@lru_cache(maxsize=16384)
def parse(latex: str) -> Form:
    """The shape of an answer."""
    text = clean(latex)
    if IN_ONE_SPELLING.fullmatch(text):
        return Form("leaf", text, value=text)
    if quantity := compound(text):
        value, unit = quantity
        return Form("leaf", text, value=str(value), unit=unit)
    text = _unbracketed(_unwrapped(text))
    short = text if "\\begin" in text else _QUALIFIER.sub("", text)
    condition = _CONDITION.search(short)
    if condition and not _RELATION.search(short[: condition.start()]):
        short = short[: condition.start()]
    if short and any(character.isalnum() for character in short):
        text = short
    return _parse(text, _DEEPEST)


def _joined(match: re.Match[str]) -> str:
    """A comma for "and", a semicolon for "or": ``x > 2 or x < 5`` is more than what both share."""
    return ";" if match[0] in ("or", "\\lor", "\\vee") else ","


def _unwrapped(text: str) -> str:
    r"""``\text{14 apples}`` without the command that makes it upright, where there are figures in it."""
    if text.startswith("\\text{") and partner(text, 5) == len(text) - 1:
        inner = text[6:-1].strip()
        if any(character.isdigit() for character in inner):
            return clean(inner)
    return text


def _unbracketed(text: str) -> str:
    """``text`` without the brackets that enclose all of it: parsing them takes exponential time."""
    opened = len(text) - len(text.lstrip("("))
    while opened > 1 and text.endswith(")") and partner(text, 0) == len(text) - 1 and text[1] == "(":
        text = text[1:-1].strip()
    return text


def _parse(text: str, depth: int) -> Form:
    if depth == 0:
        return Form("leaf", text, value=text)
    if _CONNECTIVE.search(text) and all(_COMPARED.search(part) for part in split(text, _CONNECTIVE)):
        text = _CONNECTIVE.sub(_joined, text)
    if (
        (text[:1] == "]" or text[-1:] == "[")
        and not _UNION.search(text)
        and (outward := _outward(text, depth))
    ):
        return outward
    if found := _without(text) or _bounded(text) or special(text, lambda part: _parse(part, depth - 1)):
        return found
    if any(character.isdigit() for character in text):
        text = _WORD.sub(_joined, text)  # "1 or 2"; but "salt and pepper" is one answer
    name, body = _split_name(text)
    form = ratio(body, lambda part: _parse(part, depth - 1)) if ":" in name else None
    form = form or _parse_body(body, depth)
    return replace(form, text=text, name=name or form.name)


def _parse_body(text: str, depth: int) -> Form:
    parts = [part for part in split(text, _UNION) if part]
    if len(parts) > 1:
        items = _parse_all(parts, depth)
        if all(item.kind == "set" for item in items):
            return Form("set", text, items=tuple(dict.fromkeys(i for item in items for i in item.items)))
        return Form("union", text, items=items)
    enclosed = _enclosed(text, depth)
    if enclosed:
        return enclosed
    if "," in text and number(canonical(split_unit(text)[0])) is not None and ", " not in text:
        return _leaf(text)  # "1,200 ways"
    if ", " in text or number(canonical(text)) is None:  # "1,200" is a number, "1, 200" a list
        parts = [part for part in split(text, COMMA) if part]
        if 1 < len(parts) <= _MOST_ITEMS:
            return _list(text, parts, depth)
    both = _plus_minus(text)
    if both:
        return Form("list", text, items=_parse_all(both, depth))
    if coordinates := components(text):
        return Form("()", text, items=_parse_all(coordinates, depth))
    return _interval(text) or _leaf(text)


def _parse_all(parts: Sequence[str], depth: int) -> tuple[Form, ...]:
    return tuple(_parse(part.strip(), depth - 1) for part in parts)


def _list(text: str, parts: Sequence[str], depth: int) -> Form:
    items = _flat(_parse_all(parts, depth))
    if groups := _assignments(items):
        return Form("list", text, items=groups)
    if all(item.kind == "()" for item in items):  # a solution that is listed twice is still one
        items = tuple({canonical(item.text): item for item in items}.values())
    if both := _overlap(text, items):
        return both
    if len(items) > 1 and all(item.kind in ORDERED and item.name for item in items):
        # "x < 1 or x > 2": a union of intervals of one variable.
        return Form("union", text, name=items[0].name, items=tuple(replace(i, name="") for i in items))
    return Form("list", text, items=items)


def _assignments(items: Sequence[Form]) -> tuple[Form, ...]:
    """``p=5, q=2, p=7, q=2`` as the points (5,2) and (7,2), in the order of the names; else nothing."""
    names = [item.name for item in items]
    size = len(set(names))
    if size < 2 or len(names) <= size or not all(names) or len(names) % size:
        return ()
    groups = [items[start : start + size] for start in range(0, len(items), size)]
    if any({item.name for item in group} != set(names) for group in groups):
        return ()
    return tuple(
        Form("()", "", items=tuple(replace(item, name="") for item in sorted(group, key=lambda i: i.name)))
        for group in groups
    )


def _overlap(text: str, items: Sequence[Form]) -> Form | None:
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
    kind = _INTERVALS[rays[False].kind[0] == "[", rays[True].kind[1] == "]"]
    return Form(kind, text, name=items[0].name, items=(low, high))


def says_both(latex: str) -> bool:
    """Whether "and", and no "or", stands between the parts of a condition."""
    return _BOTH.search(latex) is not None and _EITHER.search(latex) is None


def excludes_all(latex: str) -> bool:
    """Whether an answer demands of one number two things that exclude each other: "x < 1 and x > 3"."""
    if not says_both(latex):
        return False
    form = parse(latex)
    if form.kind != "union" or not form.name:
        return False
    ends = [[_end(item) for item in part.items] for part in form.items]
    if any(len(pair) != 2 or None in pair for pair in ends):
        return False
    low, high = max(pair[0] or 0 for pair in ends), min(pair[1] or 0 for pair in ends)
    return low >= high


def _end(item: Form) -> float | Fraction | None:
    """The number at an end of an interval."""
    unbounded = {"\\infty": float("inf"), "-\\infty": float("-inf")}
    return unbounded.get(item.value, number(canonical(item.value)))


def _flat(items: Iterable[Form]) -> tuple[Form, ...]:
    """``items`` with the two values of ``1 \\pm 2`` side by side instead of in a list of their own."""
    return tuple(inner for item in items for inner in (item.items if item.kind == "list" else (item,)))


def _split_name(text: str) -> tuple[str, str]:
    """The left side and the rest of ``name = … = rest`` and ``name \\in rest``; otherwise "" and ``text``."""
    if element := _ELEMENT.match(text):
        if is_name(element[1]):
            return canonical(element[1]), element[2].strip()
        return "", text
    parts = split(text, EQUALS)
    if len(parts) < 2 or not all(part.strip() for part in parts):
        return "", text
    if len(parts) == 2 and is_name(parts[1]) and not is_name(parts[0]):
        parts = parts[::-1]  # "5 = x"
    if len(parts) == 2 and _NAMES.fullmatch(parts[0]):
        return "", parts[1].strip()  # "(p,q) = (3,2)"
    if len(parts) == 2 and ":" in parts[0] and all(map(is_name, parts[0].split(":"))):
        return canonical(parts[0]), parts[1].strip()  # "AB : BC = 2 : 3"
    if not is_name(parts[0]):
        return "", text
    if len(split(text, COMMA)) > 1 and len(parts) > 2:
        return "", text  # "x = 1, y = 2" is a list of two
    if any(_RELATION.search(part) for part in parts):
        return "", text
    return canonical(parts[0]), parts[-1].strip()


def _enclosed(text: str, depth: int) -> Form | None:
    """A set, tuple or interval: ``text`` begins with a bracket whose partner ends it."""
    if text.startswith("{") and text.endswith("}") and partner(text, 0) == len(text) - 1:
        # Braces that group, or a set written without LaTeX.
        plain = text[1:-1].strip() or "\\emptyset"
        return _parse(f"\\{{{plain}\\}}" if len(split(plain, COMMA)) > 1 else plain, depth - 1)
    if text.startswith("\\{") and text.endswith("\\}") and partner(text, 1) == len(text) - 1:
        inner = text[2:-2]
        described = re.split(r":|\\mid(?![A-Za-z])|\||\\colon(?![A-Za-z])", inner, maxsplit=1)
        if len(described) == 2 and is_name(described[0].partition("\\in")[0]):
            return _parse(described[1].strip(), depth - 1)
        parts = [part for part in split(inner, COMMA) if part]
        if len(parts) > _MOST_ITEMS:
            return None
        return Form("set", text, items=tuple(dict.fromkeys(_flat(_parse_all(parts, depth)))))
    if len(text) < 3 or text[0] not in "([" or text[-1] not in ")]" or partner(text, 0) != len(text) - 1:
        return None
    parts = split(text[1:-1], COMMA)
    if len(parts) == 1:
        return _parse(text[1:-1].strip(), depth - 1) if text[0] + text[-1] == "()" else None
    if len(parts) > _MOST_ITEMS:
        return None
    kind = _INTERVALS[text[0] == "[", text[-1] == "]"]
    return Form(kind, text, items=_parse_all(parts, depth))


def _outward(text: str, depth: int) -> Form | None:
    """``]1,3[``: brackets that open outward leave their ends out."""
    if len(text) < 5 or text[0] not in "][(" or text[-1] not in "][)":
        return None
    parts = split(text[1:-1], COMMA)
    if len(parts) != 2 or not all(parts):
        return None
    kind = _INTERVALS[text[0] == "[", text[-1] == "]"]
    return Form(kind, f"{kind[0]}{parts[0]},{parts[1]}{kind[1]}", items=_parse_all(parts, depth))


def _bounded(text: str) -> Form | None:
    """ "All real numbers greater than or equal to 2"."""
    if not (match := _BOUNDED.fullmatch(text)):
        return None
    bound, closed = match["bound"], bool(match["equal"])
    above = match["side"] in ("greater", "larger", "more")
    low, high = (bound, "\\infty") if above else ("-\\infty", bound)
    kind = _INTERVALS[closed and low == bound, closed and high == bound]
    return Form(kind, text, items=(_leaf(low), _leaf(high)))


def _without(text: str) -> Form | None:
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
    between = (Form("()", "", items=(_leaf(low), _leaf(high))) for low, high in itertools.pairwise(ends))
    return Form("union", text, name=name, items=tuple(between))


def _interval(text: str) -> Form | None:
    """``a < x \\le b``, ``x > a``, ``|x| < a`` and the like as an interval named after its variable."""
    pieces = split(text, _RELATION, keep=True)
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
    kind = _INTERVALS[closed]
    return Form(kind, text, name=canonical(name), items=tuple(_leaf(end) for end in ends))


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
        return Form(_INTERVALS[closed, closed], text, name=name, items=(_leaf(low), _leaf(high)))
    outside = (
        Form(_INTERVALS[False, closed], "", items=(_leaf("-\\infty"), _leaf(low))),
        Form(_INTERVALS[closed, False], "", items=(_leaf(high), _leaf("\\infty"))),
    )
    return Form("union", text, name=name, items=outside)


_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_INTERVALS: dict[tuple[bool, bool], Interval] = {
    (False, False): "()",
    (True, True): "[]",
    (False, True): "(]",
    (True, False): "[)",
}


def _sign(relation: str) -> str:
    return {"\\le": "<=", "\\ge": ">="}.get(relation, relation)


def _plus_minus(text: str) -> list[str]:
    signs = _PLUS_MINUS.findall(text)
    if not signs or len(signs) > 4:
        return []
    upper = _PLUS_MINUS.sub(lambda match: "+" if match.group() == "\\pm" else "-", text)
    lower = _PLUS_MINUS.sub(lambda match: "-" if match.group() == "\\pm" else "+", text)
    return [upper.removeprefix("+"), lower.removeprefix("+")]


def _leaf(text: str) -> Form:
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
