r"""Different spellings of the same LaTeX brought to one, and plain numbers read exactly.

Nothing here computes or parses mathematics; it only takes away what cannot change the meaning: spacing,
delimiters, ``\left``/``\right``, ``\dfrac`` for ``\frac``, thousands separators, unicode look-alikes.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from evals.graders.math.characters import to_latex
from evals.graders.math.functions import bare_functions
from evals.graders.math.wording import reword

_FONTS = (
    "mathrm|mathbf|mathit|mathsf|mathtt|textbf|textit|textrm|textsf|texttt|textnormal|textup|emph|mbox|hbox"
    "|operatorname"
)
_WRAPPERS = "fbox|boxed|underline|uline|boldsymbol|bm|pmb|displaystyle|mathstrut|ensuremath|mathop"
_SIZES = "tiny|small|normalsize|large|Large|LARGE|huge|Huge"
_END = "(?![A-Za-z])"  # of a command's name

# Replacements in order, each linear in the text.
_SPELLINGS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Thousands separators that cannot be a list's comma.
        (r"(?<=\d)(?:\{,\}|\\text\{,\}|\{\\,\}|,\\!|\\[,;:! ]|'|\\?_)\s{0,4}(?=\d{3}(?!\d))", ""),
        (r"\\(?:therefore|because)(?![A-Za-z])|∴", ""),
        (r"\\textsuperscript\s?\{", "^{"),
        (r"(?<![\d.,])(\d{1,3})\.(\d{3})\.(\d{3})(?![\d,]|\.\d)", r"\1\2\3"),
        (r"\\(overline|bar|dot)\s?(\d)(?!\d)", r"\\\1{\2}"),
        (r"^\s?\\mid(?![A-Za-z])([^|]{1,80}?)\\mid\s?$", r"|\1|"),
        (rf"\\(?:left|right|[bB]igg?[lrm]?){_END}\.?", ""),
        (rf"\\(?:displaystyle|textstyle|limits|rm|bf|it|{_SIZES}){_END}", ""),
        (r"(?<!\\)(?:\\\\|\\)\s*$", ""),
        (r"(?<!\\)\\[!,;:> ]|~|\\q?quad|\s", " "),
        (rf"\\(?:{_FONTS})(?=\s?\{{)", r"\\text"),
        (r"\\(?:textcolor|colorbox)\s?\{[\w!]{1,40}\}\s?\{([^{}]*)\}", r"\1"),
        (r"\\color\s?\{[\w!]{1,40}\}", ""),
        (rf"\\(?:{_WRAPPERS})\s?\{{((?:[^{{}}]|\{{[^{{}}]*\}})*)\}}", r"\1"),
        (rf"\\(?:varnothing|empty|O){_END}|\\\{{\s*\\\}}", r"\\emptyset "),
        (rf"\{{([^{{}}]{{1,200}})\\over{_END}([^{{}}]{{1,200}})\}}", r"\\frac{\1}{\2}"),
        (rf"\{{([^{{}}]{{1,200}})\\choose{_END}([^{{}}]{{1,200}})\}}", r"\\binom{\1}{\2}"),
        (rf"\\bmod{_END}", r"\\mod "),
        (rf"\\ast{_END}", r"\\cdot "),
        (rf"\^\s?\{{?\s?\\prime\s?\\prime{_END}\s?\}}?", "''"),
        (rf"\^\s?(?:\{{\s?\\prime\s?\}}|\\prime{_END})", "'"),
        (r"\\p(?:small)?matrix\s?\{([^{}]*)\}", r"\\begin{pmatrix}\1\\end{pmatrix}"),
        (
            rf"(?<=\d)\s?(?:\\deg{_END}|\^\s?(?:\{{\s?o\s?\}}|o{_END}|\{{?\\text\s?\{{\s?o\s?\}}\s?\}}?))",
            r"^\\circ ",
        ),
        (r"\\log\s?_\s?(?:\{\s?e\s?\}|e(?![A-Za-z]))", r"\\ln "),
        (r"<=|=<", r"\\le "),
        (r">=", r"\\ge "),
        (r"!=", r"\\ne "),
        (r"\+/-", r"\\pm "),
        (rf"\\(?:dots[bcimo]?|cdots){_END}|\.\.\.", r"\\ldots "),
        (r"\\mathbb\s?([A-Z])(?![A-Za-z])", r"\\mathbb{\1}"),
        (r"([)\]])\s?\^\s?\{?\s?(?:T|\\top)\s?\}?$", r"\1"),
        (r"^\s?<([^<>]{1,80},[^<>]{1,80})>\s?$", r"(\1)"),
        (r"(?<=[)\]]) ?U ?(?=[(\[])", r"\\cup "),
        (r"(?<=[\w)}\]])(?:\*\*| \*\* )(?=[\w({\\-])", "^"),
        (r"\^\s?(-\d+|\d{2,}|\\frac\{[^{}]*\}\{[^{}]*\})", r"^{\1}"),
        # 1.5e6, 1.5 x 10^6
        (r"(?<![\w.\\])(\d{1,30}(?:\.\d{1,30})?)[eE]([+-]?\d{1,3})(?![\w.])", r"\1\\times 10^{\2}"),
        (r"(?<=\d)\s?[xX]\s?10(?=\s?\^)", r"\\times 10"),
        (rf"\\(?:[dtc]|nice|s)frac{_END}", r"\\frac"),
        (rf"\\(?:le|leq|leqslant){_END}", r"\\le "),
        (rf"\\(?:ge|geq|geqslant){_END}", r"\\ge "),
        (rf"\\neq{_END}", r"\\ne "),
        (rf"\\var(phi|epsilon|theta|rho|sigma|pi|kappa){_END}", r"\\\1 "),
        (rf"\\lt{_END}", "<"),
        (rf"\\gt{_END}", ">"),
        (rf"\\lbrace{_END}", r"\\{"),
        (rf"\\rbrace{_END}", r"\\}"),
        (rf"\\langle{_END}", "("),
        (rf"\\rangle{_END}", ")"),
        (rf"\^\s?(?:\{{\s?\\circ\s?\}}|\\circ{_END})|\\degree{_END}", r"^\\circ "),
        (r"\\text\s?\{\s?\+?(?:[Ii]nfinity|infty|inf|INF)\s?\}", r"\\infty "),
        (r"([A-Za-z])\^\{(\d)\}(?!\d)", r"\1^\2"),
        (r"\\%|\\text\{\s?(?:per ?cent|%|\\%)\s?\}|\bper ?cent\b", "%"),
        (r"\\text\{\s?(?:,\s?)?and\s?\}|\\text\{\s?,\s?\}", ","),
        (r"\\text\{\s?(?:,\s?)?or\s?\}", ";"),
        (r"\\frac\s?(\d)\s?(\d)", r"\\frac{\1}{\2}"),
        (
            rf"\\frac\s?(\\(?:pi|theta|alpha|beta|phi|lambda){_END}|\s[A-Za-z](?![A-Za-z]{{2}}))\s?(\d|[A-Za-z](?![A-Za-z])|\{{[^{{}}]{{1,200}}\}})",
            r"\\frac{\1}{\2}",
        ),
        (r"\\frac\s?(\d)\s?\{", r"\\frac{\1}{"),
        (r"\\frac\s?(\{[^{}]{1,200}\})\s?(\d)", r"\\frac\1{\2}"),
        (rf"\\sqrt\s{{0,2}}(\[[^\[\]{{}}]{{1,9}}\])?\s?(\d|[A-Za-z]{_END})", r"\\sqrt\1{\2}"),
        # A mixed number written with spaces would otherwise lose its space.
        (r"(?<![\d.,/^\\{])(\d{1,30}) {1,3}(\d{1,30}) ?/ ?(\d{1,30})", r"\1\\frac{\2}{\3}"),
        (r" {2,}", " "),
    )
)
# A whole number or a fraction of two: most answers are, and nothing below would change them.
IN_ONE_SPELLING = re.compile(r"-?(?:[0-9]{1,30}|\\frac\{[0-9]{1,30}\}\{[0-9]{1,30}\})")
_MINUTES = re.compile(r"(\d{1,9})\s?\^\\circ\s?(\d{1,2})'(?:\s?(\d{1,2})'')?")
_SPACED_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?: \d{3})+(?![\d])")
_DELIMITERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"), ('"', '"'))
_TEXT_COMMAND = re.compile(r"(\\text\s?\{[^{}]*\})")
_REPEATING = re.compile(r"(?<![\d.,])(\d{0,30})\.(\d{0,30})\\(?:overline|bar|dot)\s?\{(\d{1,30})\}")
_IN_BRACKETS = re.compile(r"(?<![\d.,])(\d{1,30})\.\((\d{1,30})\)")  # 0.(3)
# 0.333..., 0.1666...
_GOING_ON = re.compile(r"(?<![\d.,])(\d{1,30})\.(\d{0,30}?)(\d{1,6})\3{2,9}\s?\\ldots(?=\s*$)")
_TEXT = re.compile(r"\\text\s?\{([^{}]*)\}")
_LOOSE_SPACE = re.compile(r"(?<!\d) | (?!\d)")
_ONE_CHARACTER_GROUP = re.compile(r"([_^])\{(\w)\}")

_DECIMAL = r"(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_PLAIN = re.compile(rf"([+-]?)({_DECIMAL})")
_RATIO = re.compile(rf"([+-]?)\(?({_DECIMAL})/([+-]?)({_DECIMAL})\)?")
_FRACTION = re.compile(
    rf"([+-]?)(\d{{0,30}})\\frac\{{([+-]?)({_DECIMAL})\}}\{{([+-]?)({_DECIMAL})\}}",
)
_SCIENTIFIC = re.compile(rf"([+-]?(?:{_DECIMAL}))(?:\\times|\\cdot|\*)10\^\{{?([+-]?\d{{1,3}})\}}?")
_LONGEST_NUMBER = 400


@lru_cache(maxsize=16384)
def clean(latex: str) -> str:
    """``latex`` in one spelling, single spaces kept (they tell "5 m" from "5m")."""
    if IN_ONE_SPELLING.fullmatch(latex):
        return latex
    text = to_latex(latex)
    for pattern, replacement in _SPELLINGS:
        text = pattern.sub(replacement, text)
    text = _MINUTES.sub(_degrees, text)
    text = _GOING_ON.sub(r"\1.\2\\overline{\3}", _IN_BRACKETS.sub(r"\1.\\overline{\2}", text))
    text = _SPACED_THOUSANDS.sub(lambda match: match.group().replace(" ", ""), text)
    text = "".join(
        part if place % 2 else _REPEATING.sub(_repeating, bare_functions(part))
        for place, part in enumerate(_TEXT_COMMAND.split(text))
    )
    return _strip_delimiters(reword(_strip_delimiters(text)))


@lru_cache(maxsize=16384)
def canonical(latex: str) -> str:
    r"""``clean`` without spaces (except between digits), ``\text`` and needless braces: for comparing."""
    text = clean(latex)
    if "\\text" in text:
        text = _TEXT.sub(r"\1", text)
    text = text.replace("\\$", "").replace("$", "")
    text = _ONE_CHARACTER_GROUP.sub(r"\1\2", text)
    return _LOOSE_SPACE.sub("", text).strip().removesuffix(".")


def number(text: str) -> Fraction | None:
    r"""The exact value of a plain number in ``canonical`` spelling, else None.

    Plain are integers, decimals, a/b, ``\frac{a}{b}``, mixed numbers and ``a \times 10^b``.
    """
    if not text or len(text) > _LONGEST_NUMBER:
        return None
    if match := _PLAIN.fullmatch(text):
        return _signed(match[1], _decimal(match[2]))
    if match := _RATIO.fullmatch(text):
        return _ratio(match[1] + match[3], Fraction(0), _decimal(match[2]), _decimal(match[4]))
    if match := _FRACTION.fullmatch(text):
        whole = Fraction(int(match[2])) if match[2] else Fraction(0)
        if match[2] and (match[3] or match[5]):
            return None
        return _ratio(match[1] + match[3] + match[5], whole, _decimal(match[4]), _decimal(match[6]))
    if match := _SCIENTIFIC.fullmatch(text):
        mantissa = match[1].lstrip("+-")
        return _signed(match[1][0], _decimal(mantissa)) * Fraction(10) ** int(match[2])
    return None


def _repeating(match: re.Match[str]) -> str:
    r"""``0.1\overline{6}`` as the fraction that it is."""
    whole, once, again = match.groups()
    places = 10 ** len(once)
    value = Fraction(int((whole + once) or "0"), places) + Fraction(
        int(again), places * (10 ** len(again) - 1)
    )
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _degrees(match: re.Match[str]) -> str:
    """22 degrees 30 minutes as degrees."""
    whole, minutes, seconds = (int(group or 0) for group in match.groups())
    value = whole + Fraction(minutes, 60) + Fraction(seconds, 3600)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}^\circ "


def _strip_delimiters(text: str) -> str:
    for _ in range(4):
        text = text.strip().rstrip(";,").strip()
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].rstrip()
        for opening, closing in _DELIMITERS:
            inner = text[len(opening) : len(text) - len(closing)]
            if (
                len(text) > len(opening) + len(closing)
                and text.startswith(opening)
                and text.endswith(closing)
                and opening not in inner
                and not text.endswith("\\" + closing)
            ):
                text = inner
                break
        else:
            return text
    return text


def _decimal(digits: str) -> Fraction:
    whole, _, part = digits.replace(",", "").partition(".")
    return Fraction(int(whole + part or "0"), 10 ** len(part))


def _signed(sign: str, value: Fraction) -> Fraction:
    return -value if sign == "-" else value


def _ratio(signs: str, whole: Fraction, top: Fraction, bottom: Fraction) -> Fraction | None:
    if bottom == 0:
        return None
    value = whole + top / bottom
    return -value if signs.count("-") % 2 else value
