"""What the shape of an answer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Interval = Literal["()", "[]", "(]", "[)"]
Kind = Literal[
    "leaf", "list", "set", "union", "()", "[]", "(]", "[)",
    "matrix", "cases", "residue", "relation", "ratio", "time", "date",
]  # fmt: skip

# True, False, or None: not decided.
Truth = bool | None


@dataclass(frozen=True)
class Form:
    r"""An answer's shape.

    ``text`` is the whole answer as cleaned LaTeX; for a leaf ``value`` is what is compared (without name
    and unit) and ``unit`` its canonical unit; ``name`` is the left side of ``name = …``, "" if there is none.
    ``items`` are the parts of every other kind: a matrix's rows, a residue's value and modulus. A relation's
    ``value`` is its signs; of a time or a date it is the figures, and ``unit`` says what one may leave out
    (that the half of the day is known; the year).
    """

    kind: Kind
    text: str
    name: str = ""
    value: str = ""
    unit: str = ""
    items: tuple[Form, ...] = ()
