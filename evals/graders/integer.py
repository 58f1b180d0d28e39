r"""Grades answers that are integers, by an exact rule: the answer must be that integer, written as a number.

``033``, ``33.0``, ``10{,}000``, ``\text{33}``, ``n = 33``, ``33^\circ``, ``\$33``, "33 apples", "33rd",
"thirty-three", ``33k`` and "3.3 million" are integers; ``\frac{66}{2}`` and ``2^5 + 1`` are computations and
count as wrong. "not 33" and "at least 33" state none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from evals.graders.base import OneByOne, Response, Verdict, numbered
from evals.graders.extract import extract
from evals.graders.math.asked import asks_percent, restate
from evals.graders.math.forms import parse
from evals.graders.math.gold import stated
from evals.graders.math.meaning import right_side
from evals.graders.math.normalize import canonical, clean, number
from evals.graders.math.units import glued_unit
from evals.graders.math.wording import ordinal, reword, short_scale, states_no_value
from evals.task import Question

LONGEST_ANSWER = 300
_COMPUTED = re.compile(r"frac|/|times|cdot|10\^")
# One number among words: "about 42 of them". Operators and commands make it a formula.
_AMONG_WORDS = re.compile(
    r"(?P<before>[A-Za-z ,:;'$#\\]*?)(?<![\w.,-])"
    r"(?P<said>-?\d[\d,]{0,40}(?:\.\d{1,40})?(?![\w])[A-Za-z ,:;.'/()-]*)"
)
_FIGURES = re.compile(r"-?\d[\d,]{0,40}(?:\.\d{1,40})?")
_NEGATIVE = re.compile(r"\b(?:negative|minus) ?$", re.IGNORECASE)
_FAILURE = re.compile(r"\b(?:errors?|exception|errno)(?: (?:code|number))?[ :#]*$", re.IGNORECASE)
_PARENTHESIS = re.compile(r"(.*\w.*?)\s?\(([^()]*)\)")
_DENIED = re.compile(r"\b(?:not|never|wrong|incorrect|false)\b", re.IGNORECASE)
_PERCENT = re.compile(r"\d\s?(?:\\?%|percent)")
_LAKHS = re.compile(r"[+-]?\d{1,2}(?:,\d\d)+,\d{3}")


class IntegerGrader(OneByOne):
    """Competition and word problems with integer answers."""

    def verdict(self, question: Question, response: Response) -> Verdict:
        """The verdict on one response."""
        return _grade(question, response)

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """Answers of the same value are one class; what is not a number is equal to its own spelling only."""
        return numbered(None if answer is None else _vote(answer) for answer in answers)


@lru_cache(maxsize=16384)
def literal(answer: str) -> Fraction | None:
    """The value of an answer that is one written number, with or without a name, unit or words; else None."""
    if len(answer) > LONGEST_ANSWER:
        return None
    if _LAKHS.fullmatch(canonical(answer)):
        return Fraction(canonical(answer).replace(",", ""))
    form = right_side(parse(answer))
    if form.kind == "leaf":
        value = _written(canonical(form.value))
        if value is not None:
            return value
    elif form.kind != "list":
        return None  # a time of day is not a number among words
    text = clean(form.text)
    if match := _PARENTHESIS.fullmatch(text):  # "14 (fourteen)", "14 (apples)"
        outer, inner = _among_words(clean(match[1])), match[2]
        if not any(character.isdigit() for character in inner) or literal(inner) == outer:
            return outer
    return _among_words(text)


def _written(text: str) -> Fraction | None:
    value = number(text)
    if value is not None:
        return None if _COMPUTED.search(text) else value
    if glued := glued_unit(text):
        return number(glued[0])
    short = short_scale(text)
    if short is not None:
        return short
    return None


def _among_words(text: str) -> Fraction | None:
    match = _AMONG_WORDS.fullmatch(text)
    if not match:
        figures = ordinal(text)
        return Fraction(figures) if figures else None
    if states_no_value(match["before"]) or _FAILURE.search(match["before"]) or _DENIED.search(match["said"]):
        return None
    stated = _FIGURES.match(reword(match["said"]))
    value = number(stated.group().rstrip(",")) if stated else None
    return -value if value is not None and _NEGATIVE.search(match["before"]) else value


def _grade(question: Question, response: Response) -> Verdict:
    extraction = extract(response.text, response.truncated, response.unclosed_answers)
    answer, rule = extraction.answer, extraction.rule
    if answer is None:
        return Verdict("unparsed", None, rule)
    shown = answer[:LONGEST_ANSWER]
    expected = stated(question.gold)
    gold = literal(expected)
    if gold is None:
        return Verdict("grader_error", shown, f"{rule}; the gold answer is no integer")
    value = literal(restate(question.text, expected, answer))
    if value is not None and _PERCENT.search(answer) and not (asks_percent(question.text) or "%" in expected):
        value /= 100
    if value is None or value.denominator != 1:
        return Verdict("wrong", shown, f"{rule}; not an integer")
    return Verdict("correct" if value == gold else "wrong", shown, rule)


def _vote(answer: str) -> Fraction | str:
    value = literal(answer)
    return canonical(answer[:LONGEST_ANSWER]) if value is None else value
