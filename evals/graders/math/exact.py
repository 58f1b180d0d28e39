r"""What can be decided about two answers without a computer algebra system: exactly, or not at all.

Most answers are integers, fractions or words; for them this is the whole of grading. ``decide`` returns
None where only algebra can tell (``symbolic.py``).

Numbers are compared as fractions, never as floats: 3.4641016 is not ``2\sqrt{3}`` and 0.333 is not 1/3.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from evals.graders.math.counting import arrangements
from evals.graders.math.form import Form, Truth
from evals.graders.math.forms import excludes_all, parse, says_both
from evals.graders.math.gold import lettered
from evals.graders.math.leaves import EMPTY
from evals.graders.math.meaning import Leaves, same
from evals.graders.math.normalize import canonical, clean, number
from evals.graders.math.units import conversion, split_unit
from evals.graders.math.values import differ
from evals.graders.math.wording import ordinal, short_scale

BASED = re.compile(
    r"(?=\(?[A-Fa-f]*\d|\(?[A-F]+_\{?(?:16|12|11|[a-z]))\(?([0-9A-Fa-f]+)\)?(?:_\{?\(?(?:base)?(\d{1,2}|[a-z]{3,11})\)?\}?|\(?(?:in)?base(\d{1,2}|[a-z]{3,11})\)?)"
)
_BASES = {
    "two": "2", "binary": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "octal": "8", "nine": "9", "ten": "10", "decimal": "10", "eleven": "11", "twelve": "12", "sixteen": "16",
    "hex": "16", "hexadecimal": "16",
}  # fmt: skip
WORDS = re.compile(r"[^\W\d_][^\W\d_' .-]*(?:[ .-][^\W\d_' .-]+)*")
_MARKED_TEXT = "\\text"
_LONGEST_NUMERAL = 60
_AND_SO_ON = r"\ldots"
_LIKE_EMPTY = ("\\phi", "\\Phi")  # typed for the sign of the empty set
_PREFIXED = re.compile(r"0([box])([0-9A-Fa-f]+)", re.IGNORECASE)  # 0x2A, as programs write it
_PREFIXES = {"b": "2", "o": "8", "x": "16"}
_WEEKDAY = re.compile(
    r"(?:on)?(?:an?)?(mon|tue|tues|wed|weds|wednes|thu|thur|thurs|fri|sat|satur|sun)(?:days?)?"
)
_ARTICLE = re.compile(r"(?:it(?: i|['’])s )?(?:(?:an?|the) )?(?=[a-z]{3})")
_NAMES_JOINED = re.compile(r"\s?,?\s?\band\b\s?|\s?,\s?")
_YES_NO = re.compile(r"(yes|no)\b, (?!.*\b(?:yes|no|not|but|however)\b).+", re.DOTALL)
_SHORT_WORDS = frozenset(("yes", "no", "odd", "sun", "mon", "tue", "wed", "thu", "fri", "sat"))


@lru_cache(maxsize=65536)
def decide(gold: str, answer: str, percent: bool = False) -> Truth:
    """Whether ``answer`` means ``gold``; None where it takes algebra to tell.

    ``percent`` says that the question asks for a percentage: then 25% answers a gold of 25.
    """
    if canonical(gold) == canonical(answer) or _read_as_gold(gold, answer) or _comma_in_gold(gold, answer):
        return True
    if canonical(answer) in _LIKE_EMPTY and canonical(gold) == EMPTY:
        return True
    return means(gold, answer, lambda g, a: leaf(g, a, percent))


def means(gold: str, answer: str, leaf: Leaves) -> Truth:
    """``meaning.same`` for two texts. Of "(B) 12" the letter or the text is enough, unless both are given."""
    if excludes_all(answer) and not says_both(gold):
        answer = EMPTY
    whole = same(parse(gold), parse(answer), leaf)
    expected, given = lettered(gold), lettered(answer)
    if whole is True or not (expected or given) or (expected and given):
        return whole
    parts = expected or given or ()
    truths = [
        same(parse(part), parse(answer), leaf) if expected else same(parse(gold), parse(part), leaf)
        for part in parts
    ]
    if True in truths:
        return True
    return None if None in truths else False


def leaf(gold: Form, answer: Form, percent: bool = False) -> Truth:
    """``decide`` for two leaves."""
    first, second = canonical(gold.value), canonical(answer.value)
    if percentages(gold, answer):
        return _percentage(gold, answer, percent)
    if is_angle_in_radians(gold, answer):
        return None
    factor = conversion(gold.unit, answer.unit)
    if factor is None:
        return False
    if first == second and factor == 1:
        return True
    if EMPTY in (first, second) or _AND_SO_ON in (first, second):
        return False
    if BASED.fullmatch(first) or BASED.fullmatch(second):
        return _based(first, second)
    gold_number, answer_number = number(first), number(second)
    if gold_number is not None and answer_number is not None:
        return gold_number == answer_number * factor
    if gold_number is not None:
        if not second or is_no_value(second):
            return False
        short = short_scale(second)
        if short is not None:
            return short == gold_number
    worded = _worded(gold, answer, first, second)
    return False if worded is None and factor == 1 and differ(gold.value, answer.value) else worded


def needs_no_algebra(form: Form) -> bool:
    """Whether a leaf is a plain number, one in a stated base, or words."""
    text = canonical(form.value)
    worded = len(text) > 1 and WORDS.fullmatch(text) is not None
    return worded or text == EMPTY or number(text) is not None or BASED.fullmatch(text) is not None


def is_no_value(text: str) -> bool:
    """Whether a leaf only looks like a number: ``--4``, ``4_5x`` (digits with a subscript)."""
    return _TWO_SIGNS.search(text) is not None or _SUBSCRIBED.search(text) is not None


_TWO_SIGNS = re.compile(r"(?:^|[(\[{=,])[+-]\s?[+-]")
_SUBSCRIBED = re.compile(r"\d(?:_|'|\s?\\ldots)|(?<!_)(?<!_\d)\d \d")
_COMMA_DECIMAL = re.compile(r"([+-]?\d{1,30}|[+-]?\d{1,3}(?:\.\d{3})+)(?:,|\{,\})(\d{1,30})")
_LAKHS = re.compile(r"[+-]?\d{1,2}(?:,\d\d)+,\d{3}")
_COMMA_GOLD = re.compile(r"-?(?:0,\d{1,30}|\d{1,9}(?:\{,\}|,)(?:\d\d|\d{4,30}))")
_CHANCE = re.compile(r"(\d{1,30}) (?:in|out of) (\d{1,30})")
_TEXT = re.compile(r"\\text ?\{([^{}]*)\}")
_DOTTED = re.compile(r"[+-]?\d{1,3}(?:\.\d{3}){2,10}")
_MIXED = re.compile(
    r"([+-]?\d{1,30}) ?(?:and|,|&) ?(?:(\d{1,9})/(\d{1,9})|\\frac ?\{(\d{1,9})\}\{(\d{1,9})\})"
)


def percentages(gold: Form, answer: Form) -> bool:
    """Whether one of the two is a percentage and the other is not."""
    return (gold.unit == "%") != (answer.unit == "%")


def is_angle_in_radians(gold: Form, answer: Form) -> bool:
    r"""Whether one angle is in degrees and the other in radians: ``60^\circ`` and ``\frac{\pi}{3}``."""
    for one, other in ((gold, answer), (answer, gold)):
        if one.unit == "°" and (other.unit == "rad" or (not other.unit and "\\pi" in other.value)):
            return True
    return False


def _read_as_gold(gold: str, answer: str) -> bool:
    """Whether ``3,5``, ``1.234.567`` or "3 and 1/2", which can be read in two ways, is the gold's number."""
    if len(answer) > _LONGEST_NUMERAL or not any(
        mark in answer for mark in (",", ".", "and", " in ", " of ", "P", "C", "A", "t", "d")
    ):
        return False
    plain = " ".join(_TEXT.sub(r" \1 ", clean(answer)).split())
    if figures := ordinal(clean(answer).removeprefix("the ")):  # "the 12th grade"
        return number(canonical(gold)) == int(figures)
    text, unit = split_unit(clean(answer))
    said_and = " and" in answer.replace("{", " ")
    value = _mixed(plain if said_and else "") or _chance(plain) or _continental(text) or arrangements(plain)
    figures, _, word = plain.rpartition(" ")
    if said_and and value is None and word.isalpha():  # "2 and 3/4 hours"
        value, unit = _mixed(figures), split_unit(f"1 {word}")[1]
    if value is None:
        return False
    stated, gold_unit = split_unit(clean(gold))
    return number(canonical(stated)) == value and conversion(gold_unit, unit) == 1


def _comma_in_gold(gold: str, answer: str) -> bool:
    """Whether a gold with a decimal comma (``0,125``, ``1,22``) is the answer's number; 3,5 may be a list."""
    if not _COMMA_GOLD.fullmatch(gold.strip("$ ")):
        return False
    value = Fraction(gold.strip("$ ").replace("{,}", ",").replace(",", "."))
    return number(canonical(split_unit(clean(answer))[0])) == value


def _chance(text: str) -> Fraction | None:
    """``17 out of 20``, ``1 in 6``."""
    match = _CHANCE.fullmatch(text)
    return Fraction(int(match[1]), int(match[2])) if match and int(match[2]) else None


def _continental(text: str) -> Fraction | None:
    if match := _COMMA_DECIMAL.fullmatch(text):
        if len(match[2]) == 3 and "." not in match[1]:
            return None  # thousands
        return Fraction(f"{match[1].replace('.', '')}.{match[2]}")
    if _LAKHS.fullmatch(text):
        return Fraction(text.replace(",", ""))
    if _DOTTED.fullmatch(text):
        return Fraction(text.replace(".", ""))
    return None


def _mixed(text: str) -> Fraction | None:
    match = _MIXED.fullmatch(text)
    if not match:
        return None
    part = Fraction(int(match[2] or match[4]), int(match[3] or match[5]) or 1)
    whole = Fraction(match[1])
    return whole - part if match[1].startswith("-") else whole + part


def _percentage(gold: Form, answer: Form, percent: bool) -> Truth:
    r"""10\% is 0.1 and not 10; but where a percentage is asked for, 10 means 10\%."""
    if {gold.unit, answer.unit} != {"%", ""}:
        return False
    shares = {"%": 100}
    first, second = number(canonical(gold.value)), number(canonical(answer.value))
    if first is None or second is None:
        return None
    if percent and first == second:
        return True
    if percent and not gold.unit and abs(first) > 1:
        return False  # a gold of 28 is 28%, and not the share of 2800%
    return first / shares.get(gold.unit, 1) == second / shares.get(answer.unit, 1)


def _based(first: str, second: str) -> bool:
    """Digits in a stated base: the digits must agree, and the bases too; an answer may leave the base out.

    A base that only the answer states is a claim of its own: ``12_5`` is seven, and not 12.
    """
    digits, base = _base(first)
    other_digits, other_base = _base(second)
    return digits == other_digits and (
        other_base == base or not other_base or (not base and other_base == "10")
    )


def _base(text: str) -> tuple[str, str]:
    match = BASED.fullmatch(text)
    if prefixed := _PREFIXED.fullmatch(text):
        return prefixed[2].upper().lstrip("0") or "0", _PREFIXES[prefixed[1].lower()]
    if not match:
        return text.upper().lstrip("0"), ""
    base = match[2] or match[3]
    return match[1].upper().lstrip("0") or "0", _BASES.get(base, base)


def _worded(gold: Form, answer: Form, first: str, second: str) -> Truth:
    """Words equal words, whatever their case; words never equal a number or a formula."""
    words = [len(text) > 1 and WORDS.fullmatch(text) is not None for text in (first, second)]
    marked = [_MARKED_TEXT in form.value for form in (gold, answer)]
    if any(marked) and _same_saying(gold.value, answer.value):
        return True
    if all(words):
        if _letters(first) == _letters(second):
            # "AB" and "ab" may be products of letters, and then they differ.
            if first == second or any(marked) or len(first) > 3 or first.casefold() in _SHORT_WORDS:
                return True
            return None
        return False if any(marked) else None
    if any(word and mark for word, mark in zip(words, marked, strict=True)):
        return False
    return None


def _same_saying(gold: str, answer: str) -> bool:
    """Words but for what changes nothing: "an ellipse", "Tue", "Bob and Alice", "Yes, it is"."""
    first, second = (" ".join(_TEXT.sub(r" \1 ", text).casefold().split()) for text in (gold, answer))
    if (days := _WEEKDAY.fullmatch(first.replace(" ", ""))) and (
        other := _WEEKDAY.fullmatch(second.replace(" ", "").rstrip("."))
    ):
        return days[1][:3] == other[1][:3]
    if first in ("yes", "no") and (reply := _YES_NO.fullmatch(second)):
        return reply[1] == first
    if " and " in first and " and " in second:
        return sorted(first.split(" and ")) == sorted(second.split(" and "))
    if "," in first or "," in second:
        names = [sorted(_NAMES_JOINED.split(text)) for text in (first, second)]
        if names[0] == names[1]:
            return True
    return _ARTICLE.sub("", first, count=1) == _ARTICLE.sub("", second, count=1)


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalpha())
