r"""How a question wants its answer read: in per cent, with a decimal comma, in a base, in metres."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from evals.graders.math.brackets import split
from evals.graders.math.compound import compound
from evals.graders.math.forms import EQUALS, parse
from evals.graders.math.normalize import canonical, clean, number
from evals.graders.math.units import conversion, glued_unit, known_unit

_PERCENT = re.compile(r"%|\bper ?cent", re.IGNORECASE)
_COMMA = re.compile(
    r"\bdezimal|\bkomma\b|\bvirgule\b|\bcoma decimal|\bvírgula\b|\bvirgola\b|\bprzecinek|\bзапят",
    re.IGNORECASE,
)
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3})+(?:,\d+)?(?![\d.,])")
_FRACTION = re.compile(r"(?<![\d.,])(\d+)(?:,|\{,\})(\d+)(?![\d.,])")
_SCALED = re.compile(
    r"(\d[\d.,]*)(?:\s|~|\\[ ,])*(?:\\text\s?\{\s?)?"
    r"(dozen|hundred|thousand|million|billion)s?\b(?:[A-Za-z ]*)\}?",
    re.IGNORECASE,
)
_UNIT_WORDS = {
    "m": r"\bmet(?:er|re)s?\b",
    "g": r"\bgrams?\b",
    "s": r"\bseconds?\b",
    "h": r"\bhours?\b",
    "l": r"\blit(?:er|re)s?\b",
}
_IN_BASE = re.compile(
    r"\bbase[ -]?\$?(\d{1,2}|two|eight|ten|sixteen)\b|\b(binary|octal|hexadecimal)\b", re.IGNORECASE
)
_STATED_BASE = re.compile(r"([0-9A-Fa-f]+)_\{?(\d{1,2})\}?")
_LONGEST_LEFT_SIDE = 200
_ASKED_UNIT = re.compile(r"\b(?:how many|number of|in)\s(?:whole )?([A-Za-z]{2,12})\b", re.IGNORECASE)
_BASES = {
    "two": "2",
    "binary": "2",
    "eight": "8",
    "octal": "8",
    "ten": "10",
    "sixteen": "16",
    "hexadecimal": "16",
}


@lru_cache(maxsize=8192)
def asks_percent(question: str) -> bool:
    """Whether the question asks for a percentage: then 25 and 25% are the same answer."""
    return _PERCENT.search(question) is not None


@lru_cache(maxsize=65536)
def restate(question: str, gold: str, answer: str) -> str:
    """The answer as it would be written without what the question says already."""
    if _COMMA.search(question):
        answer = _GROUPED.sub(lambda match: match.group().replace(".", ""), answer)
        answer = _FRACTION.sub(r"\1.\2", answer)
    if (scaled := _SCALED.fullmatch(answer.strip())) and re.search(
        rf"\b(?:how many|number of|in) (?:\w+ )?{scaled[2]}s?\b", question, re.IGNORECASE
    ):
        # "How many dozen?": of a gold of 3, "3 dozen" says no other number.
        return scaled[1] if canonical(gold) == canonical(scaled[1]) else answer
    if "mod" in answer or "mod" in gold:
        answer = _residue(question, gold, answer)
    if "=" in answer and "=" not in gold:
        answer = _after_what_was_sought(question, answer)
    if "_" in answer and "_" not in gold:
        answer = _without_base(question, answer)
    if (quantity := compound(clean(answer))) and (count := _in_unit_asked(question, gold, *quantity)):
        return count
    glued = glued_unit(answer.strip()) if len(answer) < 40 else None
    if glued and re.search(_UNIT_WORDS[glued[1][0]], question, re.IGNORECASE):
        return f"{glued[0]} \\text{{ {glued[1]}}}"
    return answer


def expected(question: str, gold: str) -> str:
    """The gold with a decimal point, where the question says that its comma is one."""
    if "," in gold and _COMMA.search(question):
        return _FRACTION.sub(r"\1.\2", _GROUPED.sub(lambda match: match.group().replace(".", ""), gold))
    return gold


def _residue(question: str, gold: str, answer: str) -> str:
    r"""``3 \pmod 7`` and 3 in one spelling, where the question asks for a remainder modulo 7."""
    stated, given = parse(gold), parse(answer)
    residue = next((form for form in (stated, given) if form.kind == "residue"), None)
    if residue is None or stated.kind == given.kind:
        return answer
    value, modulus = residue.items
    if not re.search(rf"\b(?:mod|modulo|divided by)\b\W{{0,12}}{re.escape(modulus.text)}\b", question):
        return answer
    return value.text if residue is given else f"{answer} \\pmod{{{modulus.text}}}"


def _in_unit_asked(question: str, gold: str, value: Fraction, unit: str) -> str:
    """ "2 hours 30 minutes" as 2.5 where the gold is a bare number and the question asks how many hours."""
    if number(canonical(gold)) is None:
        return ""
    for word in _ASKED_UNIT.findall(question):
        asked = known_unit(word)
        if asked and unit and (factor := conversion(asked, unit)) is not None:
            return str(value * factor)
    return ""


def _after_what_was_sought(question: str, answer: str) -> str:
    r"""``x^2+y^2 = 25`` as 25 where the question names the left side, and does not give its value itself."""
    sides = split(answer, EQUALS)
    if len(sides) != 2 or not all(sides):
        return answer
    left = r"\s*".join(map(re.escape, canonical(sides[0])[:_LONGEST_LEFT_SIDE].replace(" ", "")))
    asked = clean(question.replace("$", " "))
    return sides[1] if re.search(rf"(?<![\w^_]){left}(?![\w^])(?!\s*=)", asked) else answer


def _without_base(question: str, answer: str) -> str:
    """``132_5`` as 132 where the question asks for base 5."""
    match, asked = _STATED_BASE.fullmatch(answer.strip()), _IN_BASE.search(question)
    if not match or not asked:
        return answer
    base = (asked[1] or asked[2]).lower()
    return match[1] if _BASES.get(base, base) == match[2] else answer
