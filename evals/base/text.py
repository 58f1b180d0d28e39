"""Text and JSON that are safe to show and to hand on, wherever the words came from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

# C0 controls but tab and newline, DEL and C1, and the marks that turn or isolate the writing direction.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str) -> str:
    """``text`` with characters that cannot be seen, or that turn the writing direction, named: ⟦U+202E⟧.

    A terminal obeys some of them: a model's name must not be able to move its cursor or set its title.
    """
    return _UNPRINTABLE.sub(lambda found: f"⟦U+{ord(found.group()):04X}⟧", text.replace("\r\n", "\n"))


def duration(seconds: float | None) -> str:
    """ "4.2 s", "42 s", "7 min", "3 h 05 min", "2 d 4 h"; "" for None, "–" for what is not finite."""
    if seconds is None:
        return ""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 90:
        return "< 0.01 s" if 0 < seconds < 0.01 else f"{seconds:.2g} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24:,} d {hours % 24} h"


def dumps(value: object, **options: Any) -> str:
    """``value`` as JSON that every reader takes; options as for ``json.dumps``.

    A number that is not finite becomes null: Python's NaN and Infinity are not JSON (RFC 8259).
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        return json.dumps(finite(value), allow_nan=False, **options)


def finite(value: Any) -> Any:
    """``value`` with None in place of every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def printable_json(value: object) -> str:
    """``value`` as indented JSON for a terminal: what ``printable`` would name is escaped."""
    text = dumps(value, indent=2, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
