"""Where the code blocks of a response begin and end, as models write them rather than as Markdown has it.

A fence is three or more backticks or tildes, in a list item or a quotation too, or Llama's ``[PYTHON]``. A
block ends at a fence of its own kind, at one that is glued to its last line, or where the next block opens.
A fence inside a docstring belongs to the program; since a stray triple quote would then hide every fence
that follows, ``blocks`` can also be asked to look at the fences alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LEAD = re.compile(r"[ \t]{0,16}(?:(?:>|[-*+]|\d{1,3}[.)])[ \t]{0,8}){0,3}")
_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_MARKED = re.compile(r"\[(/?)PYTHON\][ \t]*$", re.IGNORECASE)
_LATE_TAG = re.compile(r"[ \t]*([\w+#.{}:-]+)")
_PYTHON_TAG = re.compile(r"(?:python|py)\d?[ \t]+")
_CODE_BEHIND = re.compile(r"(?:(?:python|py)\d?[ \t]+)?((?:async def|def|class|import|from)[ \t]+[\w.]+.*)$")
_QUOTED = re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE)
_TRIPLE = re.compile(r"\\.|\"\"\"|'''")
_TAG = re.compile(r"[{\s]*\.?([\w+#.-]*)")
_MARKDOWN = ("markdown", "md")


@dataclass(frozen=True)
class Block:
    """A code block: its text, the first word of what its fence was marked with, whether it was closed."""

    text: str
    tag: str
    closed: bool


def blocks(text: str, docstrings: bool = True) -> tuple[str, list[Block]]:
    """What stands before the first fence, and the blocks; the last one may reach to the end of the text.

    ``docstrings``: a fence between triple quotes is part of the program.
    """
    found: list[Block] = []
    head: list[str] = []
    reader: _Reader | None = None
    quotes = _Docstrings(text if docstrings else "")
    for place, line in _lines(text):
        if reader is None:
            reader, whole = (None, []) if not found and quotes.hold(place) else _opening(line, quotes)
            found += whole
            if reader is None and not whole and not found:
                head.append(line)
                quotes.take(line)
        elif reader.ends(line, place):
            found.append(reader.block(closed=True))
            reader, whole = _opening(line, quotes) if reader.reopens(line) else (None, [])
    if reader is not None:
        found.append(reader.block(closed=False))
    return "".join(head), [inner for block in found for inner in _unwrapped(block)]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    place = 0
    for line in text.split("\n"):
        yield place, line + "\n"
        place += len(line) + 1


def _unwrapped(block: Block) -> list[Block]:
    """The blocks within a block of Markdown; any other block is itself."""
    inner = blocks(block.text)[1] if block.tag in _MARKDOWN else []
    return inner or [block]


def _opening(line: str, quotes: _Docstrings) -> tuple[_Reader | None, list[Block]]:
    """What reads the block that the line opens, or the block that the line is."""
    line = line.rstrip()
    lead = _lead(line)
    if one := _one_line(line[len(lead) :]):
        return None, [Block(one + "\n", "", True)]
    if marked := _MARKED.match(line, len(lead)):
        return (None if marked[1] else _Reader("[", 1, "python", lead, quotes)), []
    opening = _FENCE.match(line, len(lead))
    if opening and (code := _CODE_BEHIND.match(opening[2])):
        return _Reader(opening[1][0], len(opening[1]), "python", lead, quotes, code[1] + "\n"), []
    marks, words = (opening[1], opening[2]) if opening else _late(line)
    if not marks:
        return None, []
    tag = _TAG.match(words)
    return _Reader(marks[0], len(marks), tag[1].lower() if tag else "", lead, quotes), []


def _lead(line: str) -> str:
    """What a list item or a quotation puts before a fence."""
    lead = _LEAD.match(line)
    return lead[0] if lead else ""


def _one_line(line: str) -> str:
    """The code of a line that is a whole block, as in ```` ```python print(1)``` ````; "" of any other."""
    inner = line.strip("`")
    marks = len(line) - len(line.lstrip("`"))
    if marks < 3 or "`" in inner or not line.endswith("`" * marks):
        return ""
    return _PYTHON_TAG.sub("", inner.strip(), count=1)


def _late(line: str) -> tuple[str, str]:
    """The marks and tag of a fence that opens behind other words ("Here it is: ```python"), or ""s."""
    before, marks, rest = line.partition("```")
    words = rest.lstrip("`")
    if not before.strip() or "`" in before or not marks or not _LATE_TAG.fullmatch(words):
        return "", ""
    return marks + rest[: len(rest) - len(words)], words


def _glued(line: str) -> tuple[str, int]:
    """A block's last line without the fence that is glued to it, and how many marks that has; 0 if none."""
    code = line.rstrip()
    rest = code.rstrip("`")
    return (rest, len(code) - len(rest)) if rest.strip() and "`" not in rest else ("", 0)


class _Reader:
    """Collects the lines of one block."""

    def __init__(
        self, mark: str, length: int, tag: str, lead: str, quotes: _Docstrings, first: str = ""
    ) -> None:
        self._mark, self._length, self._tag, self._lead = mark, length, tag, lead
        self._quotes = quotes
        self._lines: list[str] = [first] if first else []  # code behind the fence's own marks
        quotes.restart()

    def block(self, closed: bool) -> Block:
        text = "".join(self._lines)
        if ">" in self._lead:
            text = _QUOTED.sub("", text)
        return Block(text if closed else text.removesuffix("\n"), self._tag, closed)

    def ends(self, line: str, place: int) -> bool:
        """Takes the line that begins at ``place``, unless the block ends with it or before it."""
        if not self._quotes.hold(place):
            if self._closing(line) or self.reopens(line):
                return True
            last, marks = _glued(line)
            if self._mark == "`" and marks >= self._length:
                self._lines.append(last + "\n")
                return True
        self._quotes.take(line)
        self._lines.append(line)
        return False

    def reopens(self, line: str) -> bool:
        """Whether the line is a fence that can only open: the block before was never closed."""
        fence = self._fence(line)
        return fence is not None and bool(fence[2].strip()) and len(fence[1]) >= self._length

    def _closing(self, line: str) -> bool:
        if self._mark == "[":
            return _MARKED.match(line.rstrip(), len(_lead(line))) is not None
        fence = self._fence(line)
        return fence is not None and not fence[2].strip() and len(fence[1]) >= self._length

    def _fence(self, line: str) -> re.Match[str] | None:
        fence = _FENCE.match(line.rstrip(), len(_lead(line)))
        return fence if fence and fence[1][0] == self._mark else None


class _Docstrings:
    """Whether a line is in a docstring, as far as its triple quotes tell.

    Quotes that nothing ever closes are none: they belonged to something else.
    """

    def __init__(self, text: str) -> None:
        self._last = {quotes: text.rfind(quotes) for quotes in ('"""', "'''")}
        self._open = ""

    def restart(self) -> None:
        self._open = ""

    def hold(self, place: int) -> bool:
        """Whether the line that begins at ``place`` of the text is in a docstring."""
        return bool(self._open) and place <= self._last[self._open]

    def take(self, line: str) -> None:
        for quotes in _TRIPLE.findall(line):
            if not self._open and quotes in self._last:
                self._open = quotes
            elif self._open == quotes:
                self._open = ""
