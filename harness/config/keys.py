"""Dotted keys, as ``-s`` and ``[sweep.space]`` take them: ``grpo.rewards."my.py:short"``, as in TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from evals.base.errors import UsageError

_PART = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^."'=]+)"""
_KEY = re.compile(rf"\s*{_PART}(?:\.{_PART})*")
_BARE = re.compile(r"""[^."'=\s]+""")


def split_key(key: str) -> list[str]:
    """The parts of a dotted key; quotes, double or single, keep a dot inside a part.

    Raises:
        UsageError: a part is empty, or a quotation mark is not closed.
    """
    if not _KEY.fullmatch(key):
        raise UsageError(
            f"invalid key {key!r}: write parts separated by dots, and quote a part that contains a dot, "
            'for example grpo.rewards."my.py:short"'
        )
    return [_unquoted(part) for part in re.findall(_PART, key.strip())]


def join_key(parts: Iterable[str]) -> str:
    """The dotted key of some parts; what needs quotes gets them."""
    return ".".join(part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in parts)


def split_assignment(text: str) -> tuple[str, str] | None:
    """The key, quoted only where it must be, and the value of ``KEY=VALUE``; None where it is not one."""
    found = _KEY.match(text)
    if found is None or text[found.end() : found.end() + 1] != "=":
        return None
    return join_key(split_key(found[0])), text[found.end() + 1 :]


def _unquoted(part: str) -> str:
    part = part.strip()
    if part.startswith("'"):
        return part[1:-1]
    if not part.startswith('"'):
        return part
    try:
        return str(json.loads(part))
    except ValueError:
        raise UsageError(f"key {part}: not a valid string: write a backslash as \\\\") from None
