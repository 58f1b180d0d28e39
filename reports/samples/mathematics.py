"""LaTeX in text as MathML: a browser draws it without a script or a font of ours.

Whatever is converted was written by a model. Only elements and attributes of ``TAGS`` and ``ATTRIBUTES`` get
into a page, all text is escaped, and what is too long, too deep, defines macros or cannot be read stays as it
was written. The source stands beside every formula, hidden, so that it is found, copied and can be shown.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import lru_cache
from xml.etree.ElementTree import Element

from markupsafe import Markup, escape

from evals.base.text import printable

LONGEST = 600
"""Characters of a formula that is drawn."""
DEEPEST = 12
"""Braces in braces."""
MOST = 300
"""Formulas of a text that are drawn."""
GROWTH = 60
"""Characters of MathML for a character of LaTeX; what needs more is not drawn."""
LONGEST_TEXT = 60_000
"""Characters of a text in which formulas are looked for."""

TAGS = frozenset(
    (
        *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup"),
        *("msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded"),
        *("mphantom", "menclose"),
    )
)
ATTRIBUTES = frozenset(
    (
        *("display", "mathvariant", "stretchy", "fence", "form", "separator", "lspace", "rspace", "width"),
        *("linethickness", "accent", "accentunder", "movablelimits", "minsize", "maxsize", "symmetric"),
        *("displaystyle", "scriptlevel", "largeop"),
    )
)
REFUSED = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand|g?def|let|newenvironment|href|url|includegraphics)\b"
)
"""Commands that define others (which may grow without bound) or lead elsewhere."""
_MARKS = re.compile(r"\$\$|\\\[|\\\]|\\\(|\\\)|(?<![\\$])\$|\\boxed\s?\{")
_CLOSING = {"$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$"}


def rendered(text: str) -> Markup:
    """``text`` as HTML: escaped, with its formulas ($…$, $$…$$, \\(…\\), \\[…\\], \\boxed{…}) as MathML."""
    if len(text) > LONGEST_TEXT or ("$" not in text and "\\" not in text):
        return escape(text)
    parts: list[str] = []
    at = drawn = 0
    for start, end, source, display in _formulas(text):
        mathml = _mathml(source, display) if drawn < MOST else None
        if mathml is None:
            continue
        drawn += 1
        if display:  # it has lines of its own already
            start -= start > at and text[start - 1] == "\n"
            end += text[end : end + 1] == "\n"
        parts += [escape(text[at:start]), _both(mathml, text[start:end])]
        at = end
    return Markup("".join([*parts, escape(text[at:])]))


def formula(source: str) -> Markup:
    """An answer as HTML: LaTeX without dollars around it, such as \\frac{1}{2}; other text is escaped."""
    if "$" in source or "\\" not in source:
        return rendered(source)
    mathml = _mathml(source, False)
    return escape(source) if mathml is None else _both(mathml, source)


def _both(mathml: str, source: str) -> Markup:
    return Markup('<span class="tex">{}<code>{}</code></span>').format(Markup(mathml), source)


def _formulas(text: str) -> Iterator[tuple[int, int, str, bool]]:
    """(start, end, LaTeX, whether it is displayed) of every formula, left to right, in one pass."""
    marks = list(_MARKS.finditer(text))
    closers = _closers([mark.group() for mark in marks])
    end = boxes = 0
    for mark, closer in zip(marks, closers, strict=True):
        start, kind = mark.start(), mark.group()
        if start < end:
            continue
        if kind.startswith("\\boxed"):
            boxes += 1
            close = _closing_brace(text, mark.end()) if boxes <= MOST else 0
            if close:
                end = close
                yield start, end, text[start:end], False
        elif closer is not None:
            inner, after = text[mark.end() : marks[closer].start()], marks[closer].end()
            if kind != "$" or _is_formula(inner, text[after : after + 1]):
                end = after
                yield start, end, inner.strip(), kind in ("$$", "\\[")


def _closers(kinds: list[str]) -> list[int | None]:
    """For each mark the next one that would close it."""
    found: list[int | None] = []
    latest: dict[str, int] = {}
    for number in range(len(kinds) - 1, -1, -1):
        found.append(latest.get(_CLOSING.get(kinds[number], "")))
        latest[kinds[number]] = number
    return found[::-1]


def _is_formula(inner: str, following: str) -> bool:
    """Whether what stands between two dollars is a formula, by pandoc's rule: "$5 and $10" is none."""
    return bool(inner) and "\n" not in inner and inner == inner.strip() and not following.isdigit()


def _closing_brace(text: str, start: int) -> int:
    """Where the brace that is open at ``start`` has been closed; 0 where it is not within ``LONGEST``."""
    depth = 1
    for place in range(start, min(len(text), start + LONGEST)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    return 0


@lru_cache(maxsize=4096)
def _mathml(source: str, display: bool) -> str | None:
    """A formula as MathML; None where it cannot, or must not, be converted."""
    if not source or len(source) > LONGEST or REFUSED.search(source) or _depth(source) > DEEPEST:
        return None
    from latex2mathml.converter import convert_to_element  # reads a table of 3,000 symbols

    try:
        parts: list[str] = []
        _write(convert_to_element(source, display="block" if display else "inline"), parts)
    except Exception:  # whatever a model wrote: it is shown as it stands
        return None
    written = "".join(parts)
    return written if len(written) <= GROWTH * len(source) + 2000 else None


def _depth(source: str) -> int:
    depth = deepest = 0
    for character in source:
        depth += {"{": 1, "}": -1}.get(character, 0)
        deepest = max(deepest, depth)
    return deepest


def _write(element: Element, parts: list[str]) -> None:
    """Serialises what is known of ``element``; of an unknown element only what is inside."""
    known = element.tag in TAGS
    if known:
        attributes = [
            f' {name}="{escape(value)}"' for name, value in element.attrib.items() if name in ATTRIBUTES
        ]
        parts.append(f"<{element.tag}{''.join(attributes)}>")
    parts.append(_text(element.text))
    for child in element:
        _write(child, parts)
        parts.append(_text(child.tail))
    if known:
        parts.append(f"</{element.tag}>")


def _text(text: str | None) -> str:
    """The library writes symbols as references (&#x0003D;): they are read before all is escaped."""
    return str(escape(printable(html.unescape(text)))) if text else ""
