"""Text that is cut where no bracket is open."""

from __future__ import annotations

import re

COMMA = re.compile(r"[,;]")

_OPENING, _CLOSING = "([{", ")]}"


def depths(text: str) -> list[int]:
    """How many brackets are open at each character. Any closes any: ``[1,2)`` is an interval."""
    found: list[int] = []
    depth = 0
    for character in text:
        if character in _CLOSING:
            depth = max(0, depth - 1)
        found.append(depth)
        if character in _OPENING:
            depth += 1
    return found


def split(text: str, separator: re.Pattern[str], keep: bool = False) -> list[str]:
    """``text`` cut at the separators outside of all brackets; ``keep`` leaves them between the parts."""
    if not separator.search(text):
        return [text]
    depth = depths(text)
    parts: list[str] = []
    start = 0
    for match in separator.finditer(text):
        if depth[match.start()] == 0:
            parts.append(text[start : match.start()].strip())
            if keep:
                parts.append(match.group())
            start = match.end()
    return [*parts, text[start:].strip()]


def partner(text: str, place: int) -> int:
    """Where the bracket that opens at ``place`` is closed; -1 where it is not."""
    depth = depths(text)
    inside = depth[place]
    return next((i for i in range(place + 1, len(text)) if depth[i] == inside and text[i] in _CLOSING), -1)
