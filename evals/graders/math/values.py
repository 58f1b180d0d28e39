r"""A second opinion on formulas that shares no code with the first: a reader of LaTeX, and plain arithmetic.

``agree`` puts random numbers for the letters of two formulas, small and capital ones apart, and compares the
values as floating-point numbers. It knows arithmetic, roots, powers, factorials, absolute values, the usual
functions, and nothing else: of everything that it cannot read it has no opinion. math-verify and
latex2sympy2, which the first grader builds on, are no part of it: a fault of theirs shows in an audit.
"""

from __future__ import annotations

import cmath
import math
import random
import re
from collections.abc import Callable
from typing import NamedTuple

_POINTS = 6
_SAME = 1e-9
_FAR = 1e-6
_LONGEST = 400
_DEEPEST = 60
_LARGEST_FACTORIAL = 170

_TOKEN = re.compile(r"\s+|(\d+(?:\.\d*)?|\.\d+)|(\\[A-Za-z]+)|(\\[^A-Za-z])|(.)", re.DOTALL)
_LEFT_OUT = re.compile(
    r"\\left(?![A-Za-z])|\\right(?![A-Za-z])|\\(?:displaystyle|textstyle|limits)(?![A-Za-z])|\\[,;:! ]|\$"
)
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\\!)(?=\d{3}(?!\d))")
_NAMED_SIDE = re.compile(r"([A-Za-z])\s*=(?!.*=)")
_LETTER = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])|(?<![A-Za-z\\])[A-Za-z]{2}(?![A-Za-z])")
# Words, a number in the calculator's spelling or in a base, a derivative.
_WORDS = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{3}|\d[eE][\d+-]|\d\s+[A-Za-z]{2}|\d_|\{d\s?[a-z]\}")
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "cot": lambda x: 1 / cmath.tan(x),
    "sec": lambda x: 1 / cmath.cos(x),
    "csc": lambda x: 1 / cmath.sin(x),
    "ln": cmath.log,
    "exp": cmath.exp,
    "arcsin": cmath.asin,
    "arccos": cmath.acos,
    "arctan": cmath.atan,
    "sinh": cmath.sinh,
    "cosh": cmath.cosh,
    "tanh": cmath.tanh,
}
_TWO_NUMBERS = re.compile(r"\d\d(?!\d)|\{?\d+\}?\{\d+\}|\{\d+\}\d")
_NUMERIC = frozenset("0123456789.")
_TIMES = frozenset(("*", "\\cdot", "\\times", "\\ast"))
_OVER = frozenset(("/", "\\div"))
_FRACTIONS = frozenset(("\\frac", "\\dfrac", "\\tfrac", "\\cfrac"))
_GREEK = frozenset(
    [
        "\\alpha",
        "\\beta",
        "\\gamma",
        "\\delta",
        "\\epsilon",
        "\\theta",
        "\\lambda",
        "\\mu",
        "\\rho",
        "\\sigma",
        "\\tau",
        "\\phi",
        "\\varphi",
        "\\omega",
        "\\Delta",
        "\\Gamma",
        "\\Omega",
    ]
)


class _Pair(NamedTuple):
    """Two values at one point, and the largest term that they were computed from."""

    first: complex
    second: complex
    largest: float

    @property
    def real(self) -> bool:
        return all(abs(value.imag) <= _SAME * abs(value) for value in (self.first, self.second))


class _UnreadableError(Exception):
    """A formula with something in it that is not known here."""


def agree(gold: str, answer: str) -> bool | None:
    """Whether two formulas have the same values; None where one of them is not read here."""
    sides = [_plain(text) for text in (gold, answer)]
    if sides[0][0] and sides[1][0] and sides[0][0] != sides[1][0]:
        return None  # different unknowns
    if _has_letters(sides[0][1]) != _has_letters(sides[1][1]):
        return None  # a letter that may be a unit
    # Where roots are not real, their branches say nothing; unless nothing else does.
    pairs = _values(sides[0][1], sides[1][1])
    real = [pair for pair in pairs if pair.real]
    told = real or pairs
    return all(abs(one - two) <= _SAME * max(abs(one), abs(two)) for one, two, _ in told) if told else None


def differ(gold: str, answer: str) -> bool:
    """Whether two formulas differ at all points, by far more than rounding can explain.

    What cancels in a sum costs digits, so that the largest term on the way says how far rounding reaches.
    """
    pairs = _values(*(_plain(text)[1] for text in (gold, answer))) if "=" not in gold + answer else ()
    return bool(pairs) and all(
        pair.real and abs(pair.first - pair.second) > _FAR * pair.largest for pair in pairs
    )


def is_formula(text: str) -> bool:
    """Whether a text is arithmetic all through, and so denotes one value and no set."""
    try:
        return bool(text) and not _WORDS.search(text) and _read(text, 0) is not None
    except _UnreadableError:
        return False
    except (ArithmeticError, ValueError, RecursionError):
        return True


def _values(gold: str, answer: str) -> list[_Pair]:
    """The values of both at each point where they have one; none where one of them is not read here."""
    pairs: list[_Pair] = []
    if _WORDS.search(gold) or _WORDS.search(answer):
        return pairs
    for place in range(_POINTS):
        try:
            one, two = (_read(side, place) for side in (gold, answer))
        except _UnreadableError:
            return []  # nor at any other point
        except (ArithmeticError, ValueError, RecursionError):
            continue
        if cmath.isfinite(one.value) and cmath.isfinite(two.value):
            pairs.append(_Pair(one.value, two.value, max(one.largest, two.largest)))
        if not one.lettered and not two.lettered:
            break  # numbers: they are the same at every point
    return pairs


def _plain(text: str) -> tuple[str, str]:
    """The name before an equals sign, "" without one, and the formula."""
    text = _THOUSANDS.sub("", _LEFT_OUT.sub(" ", text)).strip().rstrip(".")
    named = _NAMED_SIDE.match(text)
    return (named[1], text[named.end() :]) if named else ("", text)


def _has_letters(text: str) -> bool:
    return any(letter not in "ei" for letter in _LETTER.findall(text))


def _read(text: str, place: int) -> _Reader:
    """The reader of a formula where each letter stands for the number that it has at this point."""
    if len(text) > _LONGEST:
        raise _UnreadableError
    reader = _Reader([match.group() for match in _TOKEN.finditer(text) if match.group().strip()], place)
    reader.value = reader.sum()
    if reader.ahead():
        raise _UnreadableError
    return reader


class _Reader:
    """Reads tokens from left to right and computes as it goes.

    ``largest`` is the size of the largest term on the way, ``lettered`` whether there is a letter.
    """

    def __init__(self, tokens: list[str], place: int) -> None:
        self._tokens = tokens
        self._next = 0
        self._place = place
        self._depth = 0
        self.value = 0j
        self.largest = 0.0
        self.lettered = False

    def ahead(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def sum(self, closing: str = "") -> complex:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _UnreadableError
        total = self._product(closing)
        self.largest = max(self.largest, abs(total))
        while self.ahead() in ("+", "-"):
            sign = self._take()
            term = self._product(closing)
            self.largest = max(self.largest, abs(term))
            total = total + term if sign == "+" else total - term
        self._depth -= 1
        return total

    def _take(self, expected: str = "") -> str:
        token = self.ahead()
        if not token or (expected and token != expected):
            raise _UnreadableError
        self._next += 1
        return token

    def _product(self, closing: str) -> complex:
        value = self._signed(closing)
        while (token := self.ahead()) and token not in ("+", "-", ")", "}", "]", closing):
            if token in _TIMES:
                self._take()
                value *= self._signed(closing)
            elif token in _OVER:
                self._take()
                value /= self._power(closing)
            else:
                if token[0] in _NUMERIC and self._tokens[self._next - 1][0] in _NUMERIC:
                    raise _UnreadableError  # "3 4"
                value *= self._power(closing)
        return value

    def _signed(self, closing: str) -> complex:
        if self.ahead() in ("+", "-"):
            sign = self._take()
            if self.ahead() in ("+", "-"):
                raise _UnreadableError
            value = self._power(closing)
            return 0 - value if sign == "-" else value  # -(1+0j) has a negative zero, and another root
        return self._power(closing)

    def _power(self, closing: str) -> complex:
        base = self._atom(closing)
        while self.ahead() == "!":
            self._take()
            base = _factorial(base)
        if self.ahead() == "^":
            self._take()
            return _raised(base, self._script())
        return base

    def _script(self) -> complex:
        if self.ahead() == "{":
            return self._group("{", "}")
        return self._signed("")

    def _side(self) -> complex:
        r"""A side of a fraction: ``\frac12`` has a digit on each."""
        token = self.ahead()
        if token.isdigit() and len(token) > 1:
            self._tokens[self._next] = token[1:]
            return complex(int(token[0]))
        return self._script()

    def _group(self, opening: str, closing: str) -> complex:
        self._take(opening)
        value = self.sum(closing)
        self._take(closing)
        return value

    def _atom(self, closing: str) -> complex:
        token = self.ahead()
        if token in ("(", "[", "{"):
            return self._group(token, {"(": ")", "[": "]", "{": "}"}[token])
        if token == "|" and closing != "|":
            return complex(abs(self._group("|", "|")))
        self._take()
        if token[0] in _NUMERIC:
            whole = complex(float(token))
            return whole + self._atom(closing) if token.isdigit() and self._plain_fraction() else whole
        if token in _FRACTIONS:
            top = self._side()
            return top / self._side()
        if token == "\\sqrt":
            index = self._group("[", "]") if self.ahead() == "[" else 2
            return _raised(self._script(), 1 / index)
        if token == "\\pi":
            return complex(math.pi)
        if token == "\\log":
            return self._logarithm()
        if token[1:] in _FUNCTIONS and token[0] == "\\":
            return self._function(_FUNCTIONS[token[1:]])
        if token in ("e", "i"):
            return complex(math.e) if token == "e" else 1j
        if token in _GREEK or (len(token) == 1 and token.isascii() and token.isalpha()):
            return self._letter(token)
        raise _UnreadableError

    def _plain_fraction(self) -> bool:
        r"""Whether ``\frac{3}{4}`` comes next, which a whole number before it makes a mixed number."""
        if self.ahead() not in _FRACTIONS:
            return False
        sides = "".join(self._tokens[self._next + 1 : self._next + 7])
        return _TWO_NUMBERS.match(sides) is not None

    def _function(self, function: Callable[[complex], complex]) -> complex:
        power: complex | None = None
        if self.ahead() == "^":
            self._take()
            power = self._script()
            if power.real < 0:
                raise _UnreadableError  # sin^{-1} is no power
        argument = self._argument()
        self.largest = max(self.largest, abs(argument))  # \sin\pi is as exact as \pi is
        value = function(argument)
        return value if power is None else _raised(value, power)

    def _argument(self) -> complex:
        if self.ahead() in ("(", "{"):
            return self._power("")
        value = self._power("")
        while (token := self.ahead()) and (token[0].isalnum() or token in _GREEK or token == "\\pi"):
            value *= self._power("")
        return value

    def _logarithm(self) -> complex:
        if self.ahead() != "_":
            raise _UnreadableError  # of base e to some and 10 to others
        self._take()
        base = self._script()
        return cmath.log(self._argument()) / cmath.log(base)

    def _letter(self, token: str) -> complex:
        self.lettered = True
        if self.ahead() == "_":
            self._take()
            if self.ahead() == "{":
                while self.ahead() not in ("}", ""):
                    token += self._take()
                self._take("}")
            else:
                token += self._take()
        if self.ahead() in ("(", "'"):
            raise _UnreadableError  # f(x) is no product, or is it
        generator = random.Random(f"{token}/{self._place}")
        value = generator.uniform(0.3, 3.0)
        negative = (False, True, generator.random() < 0.5)[self._place % 3]
        return complex(-value if negative else value)


def _raised(base: complex, exponent: complex) -> complex:
    if abs(exponent) > 2000:
        raise OverflowError
    if exponent.imag == 0 and exponent.real == int(exponent.real):
        return base ** int(exponent.real)
    return complex(base**exponent)


def _factorial(value: complex) -> complex:
    if value.imag or not 0 <= value.real <= _LARGEST_FACTORIAL or value.real != int(value.real):
        raise _UnreadableError
    return complex(math.factorial(int(value.real)))
