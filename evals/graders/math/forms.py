r"""The shape of an answer: leaf, list, set, tuple, interval, union, and what ``special.py`` adds.

Shapes are recognised in the text, because a computer algebra system forgets them: ``(1,2)`` as a point, as an
open interval and ``\{1,2\}`` are three answers. ``meaning.py`` says when two shapes mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from evals.graders.math.brackets import COMMA, partner, split
from evals.graders.math.compound import compound
from evals.graders.math.form import Form
from evals.graders.math.intervals import INTERVALS, ORDERED, RELATION, bounded, interval, overlap, without
from evals.graders.math.leaves import is_name, leaf
from evals.graders.math.normalize import IN_ONE_SPELLING, canonical, clean, number
from evals.graders.math.special import ratio, special
from evals.graders.math.units import split_unit
from evals.graders.math.vectors import components

_DEEPEST = 6
_MOST_ITEMS = 64

_NAMES = re.compile(r"\([A-Za-z](?:\s?,\s?[A-Za-z]){1,5}\)")
EQUALS = re.compile(r"(?<![<>!=\\])=(?!=)")
_ELEMENT = re.compile(r"^(.{1,60}?)\\in(?![A-Za-z])\s?(.+)$")
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])|\\mp(?![A-Za-z])")
_UNION = re.compile(r"\\cup(?![A-Za-z])")
_CONNECTIVE = re.compile(r"\\(?:lor|vee|land|wedge)(?![A-Za-z])")
_COMPARED = re.compile(r"[=<>]|\\[lg]e(?![A-Za-z])")
_WORD = re.compile(r"(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])")
_BOTH = re.compile(r"\band\b|\\land(?![A-Za-z])|\\wedge(?![A-Za-z])|∧|&")
_EITHER = re.compile(r"\bor\b|\\lor(?![A-Za-z])|\\vee(?![A-Za-z])|∨|\\cup")
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
    if condition and not RELATION.search(short[: condition.start()]):
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
    if found := without(text) or bounded(text) or special(text, lambda part: _parse(part, depth - 1)):
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
        return leaf(text)  # "1,200 ways"
    if ", " in text or number(canonical(text)) is None:  # "1,200" is a number, "1, 200" a list
        parts = [part for part in split(text, COMMA) if part]
        if 1 < len(parts) <= _MOST_ITEMS:
            return _list(text, parts, depth)
    both = _plus_minus(text)
    if both:
        return Form("list", text, items=_parse_all(both, depth))
    if coordinates := components(text):
        return Form("()", text, items=_parse_all(coordinates, depth))
    return interval(text) or leaf(text)


def _parse_all(parts: Sequence[str], depth: int) -> tuple[Form, ...]:
    return tuple(_parse(part.strip(), depth - 1) for part in parts)


def _list(text: str, parts: Sequence[str], depth: int) -> Form:
    items = _flat(_parse_all(parts, depth))
    if groups := _assignments(items):
        return Form("list", text, items=groups)
    if all(item.kind == "()" for item in items):  # a solution that is listed twice is still one
        items = tuple({canonical(item.text): item for item in items}.values())
    if both := overlap(text, items):
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
    if any(RELATION.search(part) for part in parts):
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
    kind = INTERVALS[text[0] == "[", text[-1] == "]"]
    return Form(kind, text, items=_parse_all(parts, depth))


def _outward(text: str, depth: int) -> Form | None:
    """``]1,3[``: brackets that open outward leave their ends out."""
    if len(text) < 5 or text[0] not in "][(" or text[-1] not in "][)":
        return None
    parts = split(text[1:-1], COMMA)
    if len(parts) != 2 or not all(parts):
        return None
    kind = INTERVALS[text[0] == "[", text[-1] == "]"]
    return Form(kind, f"{kind[0]}{parts[0]},{parts[1]}{kind[1]}", items=_parse_all(parts, depth))


def _plus_minus(text: str) -> list[str]:
    signs = _PLUS_MINUS.findall(text)
    if not signs or len(signs) > 4:
        return []
    upper = _PLUS_MINUS.sub(lambda match: "+" if match.group() == "\\pm" else "-", text)
    lower = _PLUS_MINUS.sub(lambda match: "-" if match.group() == "\\pm" else "+", text)
    return [upper.removeprefix("+"), lower.removeprefix("+")]
