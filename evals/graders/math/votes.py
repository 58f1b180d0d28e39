"""Which answers could mean the same, so that voting need not compare each with each.

Most answers denote a number, or an expression that has a value where its letters are given numbers. Answers
with different values differ in meaning; only those of like value are worth a comparison. Answers of no kind
known here (sets, points, words, equations, numbers with a unit) could mean what any other does.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Literal, NamedTuple, get_args

from evals.graders.math.exact import BASED, WORDS
from evals.graders.math.forms import parse
from evals.graders.math.normalize import canonical, number

ALIKE = 1e-6  # values that differ by less may be one, computed in two ways

Kind = Literal["number", "formula", "letters", "matrix"]
KINDS = get_args(Kind)


class Sort(NamedTuple):
    r"""What kind of thing an answer is: ``\sqrt{2}``, ``2x+1``, ``xy``, a matrix; the first two have a value.

    The value of a formula is where each of its letters stands for a fixed number.
    """

    kind: Kind
    value: complex = 0


def lone_leaf(answer: str) -> str | None:
    """The part of an answer that says all of it; None where an answer has names, units, words or items."""
    form = parse(answer)
    text = canonical(form.value)
    if form.kind != "leaf" or form.name or form.unit or "=" in form.text or "\\text" in form.text:
        return None
    worded = len(text) > 1 and WORDS.fullmatch(text)
    return None if not text or worded or BASED.fullmatch(text) else form.value


def plain_number(leaf: str) -> Sort | None:
    """The sort of a leaf that is a plain number and needs no algebra."""
    found = number(canonical(leaf))
    try:
        return None if found is None else Sort("number", complex(found))
    except OverflowError:
        return None


class Leaders:
    """The answers that stand for a class each, found by their sort."""

    def __init__(self) -> None:
        self._all: list[str] = []
        self._valued: list[tuple[float, int, complex]] = []  # numbers and formulas, by real part
        self._of_kind: dict[Kind | None, list[int]] = {}

    def add(self, leader: str, sort: Sort | None) -> None:
        """One more class."""
        place = len(self._all)
        self._all.append(leader)
        self._of_kind.setdefault(sort.kind if sort else None, []).append(place)
        if sort and sort.kind in ("number", "formula"):
            insort(self._valued, (sort.value.real, place, sort.value), key=lambda entry: entry[:2])

    def like(self, sort: Sort | None) -> list[str]:
        """The leaders that an answer of this sort could mean the same as, oldest first."""
        if sort is None:
            return list(self._all)
        places = list(self._of_kind.get(None, ()))
        if sort.kind in ("letters", "matrix"):
            places += self._of_kind.get(sort.kind, ())
        else:
            places += self._near(sort.value)
        if sort.kind == "formula":  # (x^2 + x)/(x + 1) is x
            places += self._of_kind.get("letters", ())
        elif sort.kind == "letters":
            places += self._of_kind.get("formula", ())
        return [self._all[place] for place in sorted(places)]

    def _near(self, value: complex) -> list[int]:
        room = ALIKE * (1 + abs(value))
        places = []
        for real, place, other in self._valued[bisect_left(self._valued, value.real - room, key=_real) :]:
            if real > value.real + room:
                break
            if abs(other - value) <= room:
                places.append(place)
        return places


def _real(entry: tuple[float, int, complex]) -> float:
    return entry[0]
