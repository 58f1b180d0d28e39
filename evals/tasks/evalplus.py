"""What EvalPlus's own evaluator checks and the assertions in its data sets on the hub leave out."""

from __future__ import annotations

import re

_CLOSE = re.compile(
    r"^(?P<indent>[ \t]*)(?:assert np\.allclose|np\.testing\.assert_allclose)"
    r"\((?P<out>\w+), (?P<exp>\w+)\b",
    re.MULTILINE,
)
_FIND_ZERO = re.compile(r"_poly\(\*candidate\(\*inp\), inp\)")


def mended(tests: str) -> str:
    """A question's tests as EvalPlus's evaluator applies them (evalplus/eval/__init__.py).

    Before numbers are compared with a tolerance their type and the length of a sequence must be equal: numpy
    finds that [] is close to every number, and every number to []. HumanEval/32 on the hub unpacks the number
    that the program returns, which no program survives; the polynomial is to be evaluated there.
    """
    checked = (
        r"\g<indent>assert type(\g<out>) == type(\g<exp>)" + "\n"
        r"\g<indent>if isinstance(\g<exp>, (list, tuple)):" + "\n"
        r"\g<indent>    assert len(\g<out>) == len(\g<exp>)" + "\n"
        r"\g<0>"
    )
    return _FIND_ZERO.sub("_poly(*inp, candidate(*inp))", _CLOSE.sub(checked, tests))
