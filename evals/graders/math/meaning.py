r"""When two shapes mean the same.

What a shape holds is compared by a function that is handed in: exactly (``exact.py``, which may not know) or
by SymPy (``symbolic.py``, in a worker).

Conventions, where an answer may say less or more than the gold:

- ``x = 5`` means 5, ``x \in [1,2]`` means ``[1,2]``; where both name a variable, the names must agree. So
  does ``m+n = 33`` mean 33, but ``2x = 5`` does not mean 5: see ``right_side``;
- ``1 < x \le 2`` and ``(1,2]`` are the same, in both directions; so are "x<1 or x>2" and the union;
- a bare list "1, 2" is unordered, equals the set ``\{1,2\}``, and where the gold is a tuple (1,2) its items
  must come in that order, or be named: "y=2, x=1". A set never equals a tuple;
- ``1 \pm \sqrt{2}`` is the list of both values;
- a vector may be written as a column, a row or a tuple; a column is not a row;
- a ratio 6:4 is 3:2; a residue is any number of its class, and says its modulus;
- a time may leave out which half of the day it is in, and a date its year.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction

from evals.graders.math.brackets import split
from evals.graders.math.form import Form, Truth
from evals.graders.math.forms import EQUALS, parse
from evals.graders.math.intervals import ORDERED
from evals.graders.math.leaves import EMPTY, is_name
from evals.graders.math.normalize import canonical, number
from evals.graders.math.special import SYMMETRIC
from evals.graders.math.values import is_formula

Leaves = Callable[[Form, Form], Truth]

_PLAIN_NAME = re.compile(r"\\?[A-Za-z]+|[A-Za-z]_(?:\w|\{\w{1,9}\})")
_ROOT_NAME = re.compile(r"x(?:_\d)?")
_SPECIAL = frozenset(("matrix", "cases", "residue", "relation", "ratio", "time", "date"))
_LABELLED = re.compile(r"[A-Z]'?\s?(\(.+,.+\))")  # the point P(1,2)
_SUBSCRIPT = re.compile(r"_(?:\{[^{}]*\}|\w)")
_HARMLESS = re.compile(
    r"\\(?:frac|cdot|times|angle|overline|text|mathrm|mathbf|triangle|vec|hat|circ|alpha|beta|gamma|theta|phi)(?![A-Za-z])"
)
_COMPUTED = re.compile(
    r"\\(?:frac|cdot|times|sqrt|pi|div|binom|circ|sin|cos|tan|ln|log|text\s?\{[^{}]*\})(?![A-Za-z])"
)
_COLUMN = re.compile(r"\\binom\{([^{}]*)\}\{([^{}]*)\}")  # a vector, where a vector is expected
_SIZE_OF = re.compile(r"\|\s?[A-Z]{1,4}\s?\|")  # |S|, |AB|; |x| = 5 does not say what x is
_SOUGHT = re.compile(r"[A-Za-z(){}|'\s,+]+(?:[-/][A-Za-z(){}|'\s,+]+)*")


_NOTHING = Form("leaf", "")


def same(gold: Form, answer: Form, leaf: Leaves) -> Truth:
    """Whether ``answer`` means ``gold``, given a comparison of leaves; None where that left it open."""
    if answer.kind == "leaf" and not EQUALS.search(gold.text):
        answer = right_side(answer)
        sides = split(answer.text, EQUALS)
        if answer.kind == "leaf" and not answer.name and len(sides) > 1:
            # An equation: right only as a chain of what all means the gold.
            return all(sides) and _all(same(gold, parse(side), leaf) for side in sides)
    if gold.kind in _SPECIAL or answer.kind in _SPECIAL:
        return _special(gold, answer, leaf)
    if _is_empty(gold) or _is_empty(answer):
        return _is_empty(gold) and _is_empty(answer)
    if _names_differ(gold, answer) or _equations_differ(gold, answer):
        return leaf(_whole(gold), _whole(answer))
    if gold.kind == "leaf" and answer.kind == "leaf":
        return leaf(gold, answer)
    if gold.kind == "leaf" or answer.kind == "leaf":
        return _leaf_against_items(gold, answer, leaf)
    if gold.kind in ORDERED and answer.kind in (gold.kind, "list"):
        if answer.kind == "list":
            if gold.kind != "()":
                return False
            answer = replace(answer, items=_by_name(answer.items))
        return _ordered(gold.items, answer.items, leaf)
    if gold.kind == "list" and answer.kind in ("()", "[]", "list", "set"):
        if _named(gold.items) and answer.kind != "set" and not any(item.name for item in answer.items):
            truths = [_ordered(items, answer.items, leaf) for items in (_by_name(gold.items), gold.items)]
            return True if True in truths else None if None in truths else False
        return _unordered(gold.items, answer.items, leaf)
    if gold.kind == "set" and answer.kind in ("set", "list"):
        return _unordered(gold.items, answer.items, leaf)
    if gold.kind == "union" and answer.kind == "list" and all(item.kind in ORDERED for item in answer.items):
        return _unordered(gold.items, answer.items, leaf)  # "(1,2) or (3,4)"
    if gold.kind == "union" and answer.kind == "union":
        return _unordered(gold.items, answer.items, leaf)
    return False


def right_side(form: Form) -> Form:
    """What the last equals sign of ``m+n = 33`` introduces; ``form`` where there is none.

    That is its value only if the left side is what was sought (a name, a sum or a product of names) or a
    computation without any: ``2x = 5`` states no number.
    """
    parts = split(form.text, EQUALS)
    if len(parts) < 2 or not all(parts) or form.kind != "leaf":
        return form
    if not all(_is_name_or_sought(part) or _is_computation(part) for part in parts[:-1]):
        return form
    figures = {value for part in parts if (value := number(canonical(parse(part).value))) is not None}
    if len(figures) > 1:
        return form  # "4 = 5"
    if number(canonical(parts[0])) is not None and number(canonical(parts[-1])) is None and not form.unit:
        return parse(parts[0])  # "91 = 60 + 31"
    return parse(parts[-1])


def _is_name_or_sought(text: str) -> bool:
    if is_name(text):
        return True
    bare = _HARMLESS.sub(" ", _SUBSCRIPT.sub("", text)).strip()
    if bare.startswith("|"):
        return _SIZE_OF.fullmatch(bare) is not None
    return bool(bare) and "\\" not in bare and _SOUGHT.fullmatch(bare) is not None


def _is_computation(text: str) -> bool:
    return not any(character.isalpha() for character in parse(_COMPUTED.sub(" ", text)).value)


def _special(gold: Form, answer: Form, leaf: Leaves) -> Truth:
    if "matrix" in (gold.kind, answer.kind):
        return _matrices(gold, answer, leaf)
    if "ratio" in (gold.kind, answer.kind):
        return _ratios(gold, answer, leaf)
    if "time" in (gold.kind, answer.kind) and (hours := _as_clock(gold) or _as_clock(answer)):
        # "at 5" for 5 p.m.
        bare = Form("time", "", value=hours)
        return _times(bare, answer) if answer.kind == "time" else _times(gold, bare)
    if gold.kind != answer.kind:
        return _unlike(gold, leaf)
    if gold.kind == "time":
        return _times(gold, answer)
    if gold.kind == "date":
        return gold.value == answer.value and (gold.unit == answer.unit or not gold.unit or not answer.unit)
    if _names_differ(gold, answer):
        return False
    if gold.kind == "residue":
        return _residues(gold, answer, leaf)
    if gold.kind == "cases":
        return _unordered(gold.items, answer.items, leaf)
    if gold.value != answer.value or len(gold.items) != len(answer.items):
        return False
    if gold.value in SYMMETRIC:
        return _unordered(gold.items, answer.items, leaf)
    return _ordered(gold.items, answer.items, leaf)


def _unlike(gold: Form, leaf: Leaves) -> Truth:
    """Different, unless the gold cannot be read: that is for the comparison of leaves to say."""
    return leaf(_whole(gold), _NOTHING) if gold.kind == "leaf" else False


def _matrices(gold: Form, answer: Form, leaf: Leaves) -> Truth:
    if gold.kind == answer.kind:
        return _ordered(gold.items, answer.items, leaf)
    matrix, other = (gold, answer) if gold.kind == "matrix" else (answer, gold)
    if column := _COLUMN.fullmatch(other.text):
        other = Form("()", other.text, items=(parse(column[1]), parse(column[2])))
        if len(matrix.items) == 1:
            return False
    if other.kind == "()" and len(matrix.items) > 1 and all(item.kind == "()" for item in other.items):
        pair = (matrix.items, other.items) if matrix is gold else (other.items, matrix.items)
        return _ordered(*pair, leaf)
    if other.kind in ("()", "[]") or (other.kind == "list" and matrix is gold):
        vector = _vector(matrix)
        if vector is None:
            return False
        pair = (vector, other.items) if matrix is gold else (other.items, vector)
        return _ordered(*pair, leaf)
    if other.kind == "leaf" and "\\" in other.value and number(canonical(other.value)) is None:
        return leaf(_whole(gold), _whole(answer))
    return _unlike(gold, leaf)


def _vector(matrix: Form) -> tuple[Form, ...] | None:
    if len(matrix.items) == 1:
        return matrix.items[0].items
    if all(len(row.items) == 1 for row in matrix.items):
        return tuple(row.items[0] for row in matrix.items)
    return None


def _ratios(gold: Form, answer: Form, leaf: Leaves) -> Truth:
    kinds = {gold.kind, answer.kind}
    if kinds == {"ratio", "time"}:  # 10:15 may be a ratio too
        time, ratio = (gold, answer) if gold.kind == "time" else (answer, gold)
        if ":0" in time.text or any(character.isalpha() for character in time.text):
            return False
        return _proportional(_figures(time.text.split(":")), _figures([item.text for item in ratio.items]))
    if kinds == {"ratio"}:
        if gold.name and gold.name.split(":") == answer.name.split(":")[::-1]:
            answer = replace(answer, items=answer.items[::-1])  # B:A for A:B
        if len(gold.items) != len(answer.items):
            return False
        figures = [_figures([item.text for item in form.items]) for form in (gold, answer)]
        if None not in figures:
            return _proportional(*figures)
        if len(gold.items) == 2:
            return leaf(_quotient(gold), _quotient(answer))
        return _ordered(gold.items, answer.items, leaf)
    ratio, other = (gold, answer) if gold.kind == "ratio" else (answer, gold)
    if len(ratio.items) == 2 and canonical(ratio.items[1].text) == "1" and other.kind == "leaf":
        return leaf(gold, ratio.items[0]) if ratio is answer else leaf(ratio.items[0], answer)
    if (
        len(ratio.items) != 2
        or other.kind != "leaf"
        or ("/" not in other.text and "\\frac" not in other.text)
    ):
        return _unlike(gold, leaf)
    quotient = _quotient(ratio)
    return leaf(quotient, other) if ratio is gold else leaf(other, quotient)


def _quotient(ratio: Form) -> Form:
    """A ratio of two as a fraction."""
    top, bottom = (item.text for item in ratio.items)
    latex = f"\\frac{{{top}}}{{{bottom}}}"
    return Form("leaf", latex, value=latex)


def _figures(parts: Iterable[str]) -> list[Fraction] | None:
    values = [number(canonical(part)) for part in parts]
    return [value for value in values if value is not None] if None not in values else None


def _proportional(first: list[Fraction] | None, second: list[Fraction] | None) -> bool:
    if not first or not second or len(first) != len(second) or 0 in first or 0 in second:
        return first == second and first is not None
    return len({one / two for one, two in zip(first, second, strict=True)}) == 1


def _times(gold: Form, answer: Form) -> bool:
    if gold.value == answer.value:
        return True
    if gold.unit and answer.unit:
        return False
    hours = [form.value.partition(":") for form in (gold, answer)]
    return int(hours[0][0]) % 12 == int(hours[1][0]) % 12 and hours[0][2] == hours[1][2]


def _residues(gold: Form, answer: Form, leaf: Leaves) -> Truth:
    (value, modulus), (other, other_modulus) = gold.items, answer.items
    figures = _figures([value.text, modulus.text, other.text, other_modulus.text])
    if figures is None:
        return _ordered(gold.items, answer.items, leaf)
    return figures[1] == figures[3] != 0 and (figures[0] - figures[2]) % figures[1] == 0


def _is_empty(form: Form) -> bool:
    return form.kind == "leaf" and canonical(form.value) == EMPTY


def _whole(form: Form) -> Form:
    return Form("leaf", form.text, value=form.text)


def _names_differ(gold: Form, answer: Form) -> bool:
    r"""Two different variables; ``f(x) = …`` or ``\text{Area} = …`` do not contradict ``y = …``."""
    if gold.name == answer.name or not gold.name or not answer.name:
        return False
    if all(_ROOT_NAME.fullmatch(form.name) for form in (gold, answer)):
        return False  # x_1 and x_2 are two values of one x, in any order
    return bool(_PLAIN_NAME.fullmatch(gold.name) and _PLAIN_NAME.fullmatch(answer.name))


def _equations_differ(gold: Form, answer: Form) -> bool:
    """``x = 5`` against ``-x = 5``: one is a name's value and the other an equation of its own."""
    bare = [EQUALS.search(form.value) is None for form in (gold, answer)]
    return gold.kind == answer.kind == "leaf" and bare[0] != bare[1] and bool(gold.name or answer.name)


def _leaf_against_items(gold: Form, answer: Form, leaf: Leaves) -> Truth:
    """A leaf equals a set of one; a leaf that is no number may still denote a set (``\\mathbb{R}``)."""
    single, many = (gold, answer) if gold.kind == "leaf" else (answer, gold)
    if len(many.items) == 1 and many.kind in ("set", "list"):
        if _is_empty(many.items[0]):
            return False
        return same(
            gold if gold is single else gold.items[0], answer if answer is single else answer.items[0], leaf
        )
    if single is gold and many.kind == "list" and _all(same(gold, item, leaf) for item in many.items):
        return True  # "3/4 or 0.75"
    finite = many.kind in ("list", "set") and len(many.items) > 1
    if finite or number(canonical(single.value)) is not None or "\\" not in single.value:
        if gold.kind == "()" and (tuple_ := _LABELLED.fullmatch(answer.text)):
            return same(gold, parse(tuple_[1]), leaf)
        if answer.kind == "()" and (tuple_ := _LABELLED.fullmatch(gold.text)):
            return same(parse(tuple_[1]), answer, leaf)
        return _unlike(gold, leaf)
    if "=" not in single.text and is_formula(single.value):
        return False
    return leaf(_whole(gold), _whole(answer))


def _as_clock(form: Form) -> str:
    """The hour that a bare ``5`` may be, as a time has it; "" for everything else."""
    value = number(canonical(form.value)) if form.kind == "leaf" and not form.unit else None
    return f"{value}:00:00" if value is not None and value.denominator == 1 and 1 <= value <= 24 else ""


def _named(items: Sequence[Form]) -> bool:
    """Whether each item has a name of its own: ``x=1, y=2``, but not ``x_1=1, x_2=2`` (roots of one x)."""
    names = [_SUBSCRIPT.sub("", item.name) for item in items]
    return len(items) > 1 and all(names) and len(set(names)) == len(names)


def _by_name(items: tuple[Form, ...]) -> tuple[Form, ...]:
    """``y=2, x=1`` as x, y: the order in which a tuple would have them."""
    return tuple(sorted(items, key=lambda item: item.name)) if _named(items) else items


def _ordered(gold: Sequence[Form], answer: Sequence[Form], leaf: Leaves) -> Truth:
    if len(gold) != len(answer):
        return False
    return _all(same(g, a, leaf) for g, a in zip(gold, answer, strict=True))


def _unordered(gold: Sequence[Form], answer: Sequence[Form], leaf: Leaves) -> Truth:
    if len(gold) != len(answer):
        return False
    left = list(answer)
    undecided = False
    for item in gold:
        verdicts = [same(item, other, leaf) for other in left]
        if True in verdicts:
            left.pop(verdicts.index(True))
        elif None in verdicts:
            undecided = True
        else:
            return False
    return None if undecided else True


def _all(truths: Iterable[Truth]) -> Truth:
    seen = list(truths)
    if False in seen:
        return False
    return None if None in seen else True
