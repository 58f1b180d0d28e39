r"""Numbers said in words, as models write them: "negative 7", "2.5 million", "3 and a half", "50k".

``reword`` gives an answer with its number in figures and what follows it kept: "2.5 million people" is
``2500000 people``. Words that name no number are left alone, and so is everything that is not wholly such a
phrase. "not 7" and "at least 7" state no value: they stay as they are, and are no number.
"""

from __future__ import annotations

import re
from fractions import Fraction

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_CARDINALS = {word: value for value, word in enumerate(_SMALL)} | {
    word: 10 * place for place, word in enumerate(_TENS, start=2)
}
SCALES = {
    "dozen": 12,
    "score": 20,
    "hundred": 100,
    "thousand": 10**3,
    "lakh": 10**5,
    "million": 10**6,
    "crore": 10**7,
    "billion": 10**9,
    "trillion": 10**12,
    "quadrillion": 10**15,
}
_PARTS = {
    "half": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
    "twelfth": 12,
    "hundredth": 100,
    "thousandth": 1000,
    "millionth": 10**6,
}
_PLURALS = (
    {"halves": "half"} | {f"{part}s": part for part in _PARTS} | {f"{scale}s": scale for scale in SCALES}
)
SHORT_SCALES = {"k": 10**3, "K": 10**3, "M": 10**6, "mn": 10**6, "B": 10**9, "bn": 10**9}

# What may lead up to the number without changing it.
_LEAD = re.compile(
    r"(?:so |thus |hence |therefore )?(?:the )?(?:final |correct )?(?:answer|result|total|value|sum)?"
    r"\s?(?:is|are|was|equals|be|:|=)?\s?(?:exactly |precisely |just |only |about |approximately |approx\.? "
    r"|roughly |around |a total of |equal to )?",
    re.IGNORECASE,
)
_INSTEAD = re.compile(r"not [^,;]{1,60}?,? but (?:rather |instead )?(.+)", re.IGNORECASE | re.DOTALL)
_DENIAL = re.compile(
    r"(?:not|never|no|less|fewer|more|greater|larger|smaller|over|under|above|below|between|at (?:least|most)"
    r"|up to|almost|nearly)\b",
    re.IGNORECASE,
)
_SIGN = re.compile(r"(negative|minus|positive|plus) (?=\\?[\w.(])", re.IGNORECASE)
_FIGURES = r"(?:\d{1,3}(?:,\d{3})+|\d{1,30})(?:\.\d{1,30})?|\.\d{1,30}"
_QUANTITY = re.compile(
    rf"([$€£]|\\\$)? ?(?:({_FIGURES})(?![\d/]) ?)?"
    rf"(?:(?:\\frac ?\{{(\d{{1,9}})\}}\{{(\d{{1,9}})\}})|(\d{{1,9}})/(\d{{1,9}}))?"
)
_DECIMAL_PARTS = re.compile(rf"({_FIGURES}) (tenths|hundredths|thousandths|millionths)\b", re.IGNORECASE)
_SHORT = re.compile(rf"([+-]?)((?:[$€£]|\\\$)?) ?({_FIGURES})({'|'.join(SHORT_SCALES)})")
_ORDINAL = re.compile(r"(\d{1,30})(?:\^?\{? ?(?:\\text ?\{)? ?(?:st|nd|rd|th)\b ?\}?\}?)(?: [A-Za-z ]+)?")
_FURTHER = re.compile(r"(or|and|to) (.+)", re.DOTALL)
_HOURS = "|".join(_SMALL[1:13])
_SPOKEN_TIME = re.compile(
    rf"(?:at )?(?:(?P<part>half|(?:a )?quarter)|(?P<minutes>\d{{1,2}}|{'|'.join(_SMALL[5:])}|twenty)"
    r"(?: minutes)?(?= past))"
    rf" (?P<side>past|after|to|before) (?P<hour>\d{{1,2}}|{_HOURS})(?P<rest>\b.*)",
    re.IGNORECASE | re.DOTALL,
)
_WORD = re.compile(r"[A-Za-z]{2}")
_HYPHENS = re.compile(r"(?<=[a-z])-(?=[a-z])", re.IGNORECASE)
_TEXT = re.compile(r"\\text ?\{([^{}]*)\}")


def reword(text: str) -> str:
    """``text`` (in ``normalize.clean`` spelling) with a number in words written in figures."""
    if not _WORD.search(text):
        return text
    plain = " ".join(_TEXT.sub(r" \1 ", text).split())
    if not plain:
        return text
    if instead := _INSTEAD.fullmatch(plain):
        return reword(instead[1])
    if spoken := _SPOKEN_TIME.fullmatch(plain):
        return _clock_time(spoken)
    lead = _LEAD.match(plain)
    rest = plain[lead.end() :] if lead else plain
    if len(rest) < len(plain) and (not rest or not (rest[0].isdigit() or _stated(rest))):
        return text
    if _DENIAL.match(rest):
        return text
    sign = ""
    if match := _SIGN.match(rest):
        sign = "-" if match[1].lower() in ("negative", "minus") else ""
        rest = rest[match.end() :]
    value = _quantity(rest)
    if value is None and (parts := _DECIMAL_PARTS.match(rest)):
        count = Fraction(parts[1].replace(",", ""))
        value = _figures(count / _PARTS[_PLURALS[parts[2].lower()]]), rest[parts.end() :].strip()
    if value is None:
        if sign or match:
            return sign + rest
        return rest if len(rest) < len(plain) else text
    figures, rest = value
    if further := _FURTHER.fullmatch(rest):
        rest = f"{further[1]} {reword(further[2])}"
    return f"{sign}{figures} {rest}".strip()


def _clock_time(spoken: re.Match[str]) -> str:
    """ "half past three", "quarter to 4 in the morning" in figures."""
    minutes = 30 if spoken["part"] == "half" else 15 if spoken["part"] else _cardinal(spoken["minutes"])
    hour = _cardinal(spoken["hour"])
    if spoken["side"].lower() in ("to", "before"):
        hour, minutes = (hour - 2) % 12 + 1, 60 - minutes
    return f"{hour}:{minutes:02}{spoken['rest']}"


def _cardinal(word: str) -> int:
    return int(word) if word.isdigit() else _CARDINALS[word.lower()]


def states_no_value(text: str) -> bool:
    """Whether ``text`` denies what follows it, or only bounds it: "not", "at least"."""
    return any(_DENIAL.match(text, place) for place in _word_starts(text))


def _word_starts(text: str) -> list[int]:
    return [match.start() for match in re.finditer(r"\b[A-Za-z]", text)]


def short_scale(text: str) -> Fraction | None:
    """The value of ``50k`` or ``$2.5M``; None for everything else. A letter may also be a variable."""
    match = _SHORT.fullmatch(text)
    if not match:
        return None
    value = Fraction(match[3].replace(",", "")) * SHORT_SCALES[match[4]]
    return -value if match[1] == "-" else value


def ordinal(text: str) -> str | None:
    r"""The figures of ``12th``, ``12^{\text{th}}`` or "12th grade"; None for everything else."""
    match = _ORDINAL.fullmatch(text)
    return match[1] if match else None


def _stated(rest: str) -> bool:
    """Whether a value follows a lead-in: a sign, a bracket, a formula, or a number in words."""
    return rest[0] in "-+.$\\(" or bool(_SIGN.match(rest)) or _quantity(rest) is not None


def _quantity(text: str) -> tuple[str, str] | None:
    """The number that ``text`` begins with, in figures, and the rest; None where no word belongs to it."""
    if (match := _QUANTITY.match(text)) and (match[2] or match[3] or match[5]):
        scale, rest = _scale(text[match.end() :].strip())
        part, rest = _and_part(rest) if rest.lower().startswith("and ") else (Fraction(0), rest)
        top, bottom = int(match[3] or match[5] or 0), int(match[4] or match[6] or 1)
        if (scale == 1 and not part) or not bottom:
            return None
        value = (Fraction((match[2] or "0").replace(",", "")) + Fraction(top, bottom) + part) * scale
        return (match[1] or "") + _figures(value), rest
    return _said(text)


def _said(text: str) -> tuple[str, str] | None:
    """A number wholly in words: "twenty-five", "two thirds", "half a million", "three and a half"."""
    words = _HYPHENS.sub(" ", text).split(" ")
    names = [_PLURALS.get(word.lower().strip(",."), word.lower().strip(",.")) for word in words]
    place, total, group, seen, scaled = 0, Fraction(0), Fraction(0), False, False
    if names[0] in ("a", "an") and len(names) > 1 and (names[1] in SCALES or names[1] in _PARTS):
        group, place, seen = Fraction(1), 1, True
    elif names[0] == "half":
        group, place, seen = Fraction(1, 2), 1, True
        if names[1:2] == ["a"] and names[2:3] and names[2] in SCALES:
            place = 2
        elif names[1:2] == ["of"] and any(character.isdigit() for character in text):
            return None  # "half of 10"
    while place < len(names):
        name = names[place]
        if name in _CARDINALS:
            if seen and not scaled and not _continues(group, _CARDINALS[name]):
                break
            group += _CARDINALS[name]
        elif name in SCALES and seen:
            if SCALES[name] >= 1000:
                total, group = total + group * SCALES[name], Fraction(0)
            else:
                group *= SCALES[name]
        elif name in _PARTS and seen and total + group > 0:
            total, group, place = Fraction(total + group, _PARTS[name]), Fraction(0), place + 1
            break
        elif name == "and" and seen and place + 1 < len(names):
            part, rest = _and_part(" ".join(words[place:]))
            if part:
                scale, rest = _scale(rest)  # "one and a half million"
                return _figures((total + group + part) * scale), rest
            if names[place + 1] not in _CARDINALS or group % 100:
                break
        else:
            break
        seen, scaled = True, name in SCALES
        place += 1
    if not seen:
        return None
    return _figures(total + group), " ".join(words[place:])


def _continues(group: Fraction, value: int) -> bool:
    """Whether a cardinal goes on with a number: "twenty" five, "hundred" seventeen; not "two" three."""
    if group % 100 == 0:
        return group != 0
    return group % 10 == 0 and group % 100 >= 20 and 0 < value < 10


def _and_part(text: str) -> tuple[Fraction, str]:
    """The fraction of "and a half", "and three quarters"; 0 where there is none."""
    words = _HYPHENS.sub(" ", text).split(" ")
    if len(words) < 3:
        return Fraction(0), text
    count = 1 if words[1].lower() in ("a", "an", "one") else _CARDINALS.get(words[1].lower(), 0)
    part = _PLURALS.get(words[2].lower(), words[2].lower())
    if not count or part not in _PARTS:
        return Fraction(0), text
    return Fraction(count, _PARTS[part]), " ".join(words[3:])


def _scale(text: str) -> tuple[int, str]:
    """The product of the scale words that ``text`` begins with, and the rest."""
    scale, words = 1, text.split(" ")
    place = 0
    while place < len(words):
        name = words[place].lower().strip(",")
        name = _PLURALS.get(name, name)
        if name not in SCALES or (name == "score" and place + 1 == len(words)):
            break
        scale *= SCALES[name]
        place += 1
    return scale, " ".join(words[place:])


def _figures(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
