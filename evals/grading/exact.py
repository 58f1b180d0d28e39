r"""What can be decided about two answers without a computer algebra system: exactly, or not at all.

Most answers are integers, fractions or words; for them this is the whole of grading. ``decide`` returns
None where only algebra can tell (``symbolic.py``).

Numbers are compared as fractions, never as floats: 3.4641016 is not ``2\sqrt{3}`` and 0.333 is not 1/3.
"""

from __future__ import annotations

import re
from functools import lru_cache

from evals.grading.forms import Form, Truth, parse, same
from evals.grading.normalize import canonical, number
from evals.grading.units import conflict

BASED = re.compile(r"([0-9A-Fa-f]+)_\{?(\d{1,2})\}?")
WORDS = re.compile(r"[^\W\d_][^\W\d_' .-]*(?:[ .-][^\W\d_' .-]+)*")
_MARKED_TEXT = "\\text"


@lru_cache(maxsize=65536)
def decide(gold: str, answer: str, percent: bool = False) -> Truth:
    """Whether ``answer`` means ``gold``; None where it takes algebra to tell.

    ``percent`` says that the question asks for a percentage: then 25% answers a gold of 25.
    """
    if canonical(gold) == canonical(answer):
        return True
    return same(parse(gold), parse(answer), lambda g, a: leaf(g, a, percent))


def leaf(gold: Form, answer: Form, percent: bool = False) -> Truth:
    """``decide`` for two leaves."""
    first, second = canonical(gold.value), canonical(answer.value)
    if percentages(gold, answer):
        return _percentage(gold, answer, percent)
    if conflict(gold.unit, answer.unit):
        return False
    if first == second:
        return True
    if BASED.fullmatch(first) or BASED.fullmatch(second):
        return _based(first, second)
    gold_number, answer_number = number(first), number(second)
    if gold_number is not None and answer_number is not None:
        return gold_number == answer_number
    return _worded(gold, answer, first, second)


def percentages(gold: Form, answer: Form) -> bool:
    """Whether one of the two is a percentage and the other is not."""
    return (gold.unit == "%") != (answer.unit == "%")


def _percentage(gold: Form, answer: Form, percent: bool) -> Truth:
    r"""10\% is 0.1 and not 10; but where a percentage is asked for, a gold of 10 means 10\%."""
    shares = {"%": 100}
    first, second = number(canonical(gold.value)), number(canonical(answer.value))
    if first is None or second is None:
        return None
    if first / shares.get(gold.unit, 1) == second / shares.get(answer.unit, 1):
        return True
    return percent and gold.unit == "" and first == second


def _based(first: str, second: str) -> bool:
    """Digits in a stated base: the digits must agree, and the bases where both are stated."""
    digits, base = _base(first)
    other_digits, other_base = _base(second)
    return digits == other_digits and not (base and other_base and base != other_base)


def _base(text: str) -> tuple[str, str]:
    match = BASED.fullmatch(text)
    return (match[1].upper(), match[2]) if match else (text.upper(), "")


def _worded(gold: Form, answer: Form, first: str, second: str) -> Truth:
    """Words equal words, whatever their case; words never equal a number or a formula."""
    words = [len(text) > 1 and WORDS.fullmatch(text) is not None for text in (first, second)]
    marked = [_MARKED_TEXT in form.value for form in (gold, answer)]
    if all(words):
        if _letters(first) == _letters(second):
            return True
        return False if any(marked) else None
    if any(word and mark for word, mark in zip(words, marked, strict=True)):
        return False
    return None


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalpha())
