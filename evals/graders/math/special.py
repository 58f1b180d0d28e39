r"""Answers that algebra does not know: times of day, dates, ratios, residues, matrices, cases, relations.

``special`` tells their shapes apart in the text; ``meaning.py`` compares them, part by part.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from evals.graders.math.brackets import split
from evals.graders.math.form import Form
from evals.graders.math.normalize import canonical

_TEXT = re.compile(r"\\text\s?\{([^{}]*)\}")
_CLOCK = re.compile(
    r"(?P<hour>\d{1,2}|(?=noon|midday|midnight))(?:(?P<separator>[:.])(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?)?"
    r"(?: ?(?:(?P<half>[ap])\.? ?m\b\.?|(?P<word>noon|midday|midnight|o'clock)))?"
    r"(?: (?:in the )?(?P<part>morning|afternoon|evening))?"
    r"(?: ?h(?:rs?|ours)?)?",
    re.IGNORECASE,
)
_NAMED_HOUR = re.compile(r"\b(?:noon|midday|midnight)\b", re.IGNORECASE)
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
    "sept",
]
_MONTH_NUMBERS = {name: place % 12 + 1 for place, name in enumerate(_MONTHS)} | {"sept": 9}
_MONTH = rf"(?P<month>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})\.?"
_DAY = r"(?:the )?(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,? (?:of )?(?P<year>\d{4}))?"
_DATES = (
    re.compile(rf"{_MONTH} {_DAY}{_YEAR}", re.IGNORECASE),
    re.compile(rf"{_DAY} (?:of )?{_MONTH}{_YEAR}", re.IGNORECASE),
    re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"),
)
_WEEKDAY = re.compile(r"(?:on )?(?:mon|tues|wednes|thurs|fri|satur|sun)day,? (?=\S)", re.IGNORECASE)

_RATIO_MARK = re.compile(r"\\colon(?![A-Za-z])|:|(?<![A-Za-z\\])(?:is )?to(?![A-Za-z])")
_RATIO_PART = re.compile(r"(?!.*\.\.)[\w\s.,\\{}()+*/^-]{1,80}")
_PROSE = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{3}")
_RESIDUE = re.compile(
    r"(?:(?P<left>[^=<>]{1,80}?)\s?(?:\\equiv|=)\s?)?(?P<value>[^=<>]{1,80}?)\s?,?\s?"
    r"(?:\\p?mod(?![A-Za-z])|\(\s?(?:\\mod|\\text\s?\{\s?mod\s?\}|mod)(?![A-Za-z])|(?<![A-Za-z\\])mod(?![A-Za-z])"
    r"|\\text\s?\{\s?\(?mod\s?\})\s?(?:ulo )?(?P<modulus>[^()=<>]{1,40}?)\s?\)?"
)
_MATRIX = re.compile(
    r"(?P<left>[(\[]?)\s?\\begin\s?\{(?P<kind>[pbB]?(?:small)?matrix|array)\*?\}\s?"
    r"(?:\{[lcr| ]*\}|\[[lcr| ]*\])?"
    r"(?P<body>.*)\\end\s?\{(?P=kind)\*?\}\s?(?P<right>[)\]]?)"
    r"(?P<transposed>\s?\^\s?\{?\s?(?:T|\\top|\\text\{T\})\s?\}?)?",
    re.DOTALL,
)
_CASES = re.compile(
    r"(?:\\\{\s?)?\\begin\s?\{(cases|array)\}\s?(?:\{[lcr| ]*\})?(.*)\\end\s?\{\1\}", re.DOTALL
)
_ROW_END = re.compile(r"\\\\(?:\[[^\]]*\])?|\\cr(?![A-Za-z])")
_COMMA = re.compile(",")
_CELL_END = re.compile(r"(?<!\\)&")
_RELATION = re.compile(
    r"\\(?:equiv|mapsto|to|rightarrow|longrightarrow|Rightarrow|implies|iff|Leftrightarrow|subseteq|subset|supseteq|supset"
    r"|perp|parallel|sim|cong|ne|notin|land|wedge|lor|vee|forall|exists|neg|lnot|mid)(?![A-Za-z])"
)
_ONE_WAY = {r"\rightarrow": r"\to", r"\longrightarrow": r"\to", r"\implies": r"\Rightarrow"}
_BOTH_WAYS = {r"\iff": r"\Leftrightarrow", r"\wedge": r"\land", r"\vee": r"\lor", r"\lnot": r"\neg"}
SYMMETRIC = frozenset(
    (r"\equiv", r"\Leftrightarrow", r"\perp", r"\parallel", r"\sim", r"\cong", r"\ne", r"\land", r"\lor")
)
_MOST_CELLS = 400


def special(text: str, parse: Callable[[str], Form]) -> Form | None:
    """The shape of an answer of one of these kinds; ``parse`` reads its parts."""
    if "\\begin" in text:
        return _matrix(text, parse) or _cases(text, parse)
    if text.startswith("[["):
        return _nested(text, parse)
    if "mod" in text and (found := _residue(text, parse)):
        return found
    if any(character.isdigit() for character in text) or _NAMED_HOUR.search(text):
        plain = " ".join(_TEXT.sub(r" \1 ", text).split())
        if found := _clock(plain, text) or _date(plain, text):
            return found
    return _relation(text, parse) or ratio(text, parse)


def rows(body: str) -> list[list[str]]:
    r"""The cells of ``a & b \\ c & d``."""
    lines = [line.strip() for line in split(body, _ROW_END)]
    lines = [line.replace("\\hline", "").strip() for line in lines]
    return [[cell.strip() for cell in split(line, _CELL_END)] for line in lines if line]


def _matrix(text: str, parse: Callable[[str], Form]) -> Form | None:
    match = _MATRIX.fullmatch(text)
    if not match or "\\begin" in match["body"] or bool(match["left"]) != bool(match["right"]):
        return None
    if match["kind"] in ("array", "matrix") and not match["left"]:
        return None
    cells = rows(match["body"])
    if not cells or len({len(row) for row in cells}) != 1 or len(cells) * len(cells[0]) > _MOST_CELLS:
        return None
    if match["transposed"]:
        cells = [list(column) for column in zip(*cells, strict=True)]
    return Form(
        "matrix",
        text,
        items=tuple(Form("()", "", items=tuple(parse(cell) for cell in row)) for row in cells),
    )


def _nested(text: str, parse: Callable[[str], Form]) -> Form | None:
    """``[[1, 2], [3, 4]]``, as programs write a matrix."""
    lines = split(text[1:-1], _COMMA) if text.endswith("]]") else []
    if not lines or not all(line.startswith("[") and line.endswith("]") for line in lines):
        return None
    cells = [split(line[1:-1], _COMMA) for line in lines]
    if len({len(row) for row in cells}) != 1 or len(cells) * len(cells[0]) > _MOST_CELLS:
        return None
    return Form(
        "matrix", text, items=tuple(Form("()", "", items=tuple(parse(cell) for cell in row)) for row in cells)
    )


def _cases(text: str, parse: Callable[[str], Form]) -> Form | None:
    name, equals, body = text.partition("=")
    name, body = (name.strip(), body.strip()) if equals and "\\begin" not in name else ("", text)
    match = _CASES.fullmatch(body)
    if not match:
        return None
    cells = [[_condition(cell) for cell in row if cell] for row in rows(match[2])]
    if not cells or sum(map(len, cells)) > _MOST_CELLS:
        return None
    parts = tuple(Form("()", "", items=tuple(parse(cell) for cell in row)) for row in cells)
    return Form("cases", text, name=canonical(name), items=parts)


def _condition(cell: str) -> str:
    cell = re.sub(r"^\\text\s?\{\s?(?:if|for|when|where)\s?\}|^(?:if|for|when)\b", "", cell).strip()
    return cell.rstrip(",;. ")


def _residue(text: str, parse: Callable[[str], Form]) -> Form | None:
    match = _RESIDUE.fullmatch(text)
    if not match:
        return None
    modulus = match["modulus"].strip().removeprefix("{").removesuffix("}")
    name = canonical(match["left"]) if match["left"] else ""
    return Form("residue", text, name=name, items=(parse(match["value"].strip()), parse(modulus)))


def _clock(plain: str, text: str) -> Form | None:
    match = _CLOCK.fullmatch(plain)
    if not match or not (match["half"] or match["word"] or match["part"] or match["separator"] == ":"):
        return None
    hour, half = int(match["hour"] or 12), (match["half"] or "").lower()
    word, part = (match["word"] or "").lower(), (match["part"] or "").lower()
    if match["separator"] == "." and not (half or word or part):
        return None
    half = half or {
        "noon": "p",
        "midday": "p",
        "midnight": "a",
        "morning": "a",
        "afternoon": "p",
        "evening": "p",
    }.get(word or part, "")
    if hour > 24 or (half and not 1 <= hour <= 23):
        return None
    if half and hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    seconds = f"{match['minute'] or '00'}:{match['second'] or '00'}"
    return Form("time", text, value=f"{hour}:{seconds}", unit="day" if half or hour > 12 else "")


def _date(plain: str, text: str) -> Form | None:
    plain = _WEEKDAY.sub("", plain, count=1)
    for pattern in _DATES:
        if match := pattern.fullmatch(plain.strip(" .")):
            month = match["month"].lower()
            number = int(month) if month.isdigit() else _MONTH_NUMBERS[month]
            return Form("date", text, value=f"{number}-{int(match['day'])}", unit=match["year"] or "")
    return None


def ratio(text: str, parse: Callable[[str], Form]) -> Form | None:
    """``3:2``, "3 to 2", ``a:b:c``."""
    bare = _TEXT.sub(
        lambda match: f" {match[1]} " if _RATIO_MARK.search(match[1]) else match[0], text
    ).strip()
    parts = split(bare, _RATIO_MARK)
    if not 2 <= len(parts) <= 8 or not all(_RATIO_PART.fullmatch(part) for part in parts):
        return None
    if any(_PROSE.search(part) for part in parts):
        return None  # "Note: 5 apples"
    return Form("ratio", text, items=tuple(parse(part) for part in parts))


def _relation(text: str, parse: Callable[[str], Form]) -> Form | None:
    pieces = split(text, _RELATION, keep=True)
    if len(pieces) < 3 or len(pieces) > 15:
        return None
    signs = [_ONE_WAY.get(sign, _BOTH_WAYS.get(sign, sign)) for sign in pieces[1::2]]
    items = tuple(parse(piece) if piece else Form("leaf", "", value="") for piece in pieces[::2])
    return Form("relation", text, value=" ".join(signs), items=items)
