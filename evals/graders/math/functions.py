r"""Functions and constants that were written without LaTeX: ``sqrt(3)``, ``exp(9)``, ``2pi``, ``x^(n+1)``."""

from __future__ import annotations

import re

_NAMED = (
    "arcsin|arccos|arctan|arccot|arcsec|arccsc|sinh|cosh|tanh|coth|sin|cos|tan|cot|sec|csc|ln|log"
    "|gcd|lcm|min|max"
)
# Before a bracket, a number, a command or a lone letter: "sin x", but not "log in".
_FUNCTION = re.compile(rf"(?<![A-Za-z\\])({_NAMED})(?=\s?[(\d\\{{^_]|\s[A-Za-z](?![A-Za-z]))")
_INVERSE = re.compile(r"(?<![A-Za-z\\])a(sin|cos|tan)h?(?=\s?\()")
_CONSTANT = re.compile(r"(?<![A-Za-z\\])(pi|theta|alpha|beta|gamma|lambda|phi|omega)(?![A-Za-z])")
_INFINITY = re.compile(r"(?<![A-Za-z\\])(?:[Ii]nfinity|infty|Inf|inf|INF|oo)(?![A-Za-z])")
_BRACKETED = re.compile(r"(?<![A-Za-z])\\?(sqrt|cbrt|exp|abs|floor|ceil)\s?\(|\^\s?\(")
_BRACES: dict[str | None, tuple[str, str]] = {
    "sqrt": (r"\sqrt{", "}"),
    "cbrt": (r"\sqrt[3]{", "}"),
    "exp": ("e^{", "}"),
    "abs": ("|", "|"),
    "floor": (r"\lfloor ", r"\rfloor "),
    "ceil": (r"\lceil ", r"\rceil "),
    None: ("^{", "}"),
}
_ROOT = re.compile(r"(?<![A-Za-z\\])sqrt\s?(?=[\d{])")
_EXPONENTIAL = re.compile(r"\\?(?<![A-Za-z])exp\s?\{")


def bare_functions(text: str) -> str:
    r"""``text`` (outside ``\text``) with functions and constants as LaTeX, and braces around operands."""
    if not any(character.isalpha() or character == "^" for character in text):
        return text
    text = _EXPONENTIAL.sub("e^{", text)
    text = _ROOT.sub(r"\\sqrt", text)
    text = _INVERSE.sub(r"\\arc\1", text)
    text = _FUNCTION.sub(r"\\\1", text)
    text = _CONSTANT.sub(r"\\\1 ", text)
    text = _INFINITY.sub(r"\\infty ", text)
    return _braced(text)


def _braced(text: str) -> str:
    """``sqrt(...)`` and ``^(...)`` with braces for brackets, nested ones too; linear in the text."""
    if "(" not in text:
        return text
    openings = {match.end() - 1: match for match in _BRACKETED.finditer(text)}
    if not openings:
        return text
    partners: dict[int, int] = {}
    stack: list[int] = []
    for place, character in enumerate(text):
        if character == "(":
            stack.append(place)
        elif character == ")" and stack:
            partners[stack.pop()] = place
    edits: dict[int, tuple[int, str]] = {}  # start → end, what stands there instead
    for place, match in openings.items():
        if place in partners:
            opening, closing = _BRACES[match[1]]
            edits[match.start()] = (match.end(), opening)
            edits[partners[place]] = (partners[place] + 1, closing)
    pieces: list[str] = []
    place = 0
    while place < len(text):
        end, piece = edits.get(place, (place + 1, text[place]))
        pieces.append(piece)
        place = end
    return "".join(pieces)
