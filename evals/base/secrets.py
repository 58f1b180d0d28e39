"""Passwords in addresses, masked before anything is written or shown.

Whatever looks like an address is treated as one: a storage, a server, a bucket; in a command line, an error
of a library, a setting.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

T = TypeVar("T")

MASK = "***"
_USER_AND_PASSWORD = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@?#'\"]*):(\S*)@")
_SPACED = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@?#'\"]*):(?!\d+(?:[/\s?#,;]|$))[^\n]*@")
"""The same with spaces in the password; what stands before the first one is no port."""
_HTTP_USER = re.compile(rf"(?i)\b(https?://)[^\s/:@?#'\"]*:{re.escape(MASK)}@")
"""A user whose password is masked: some servers take the token as the user's name."""
_TOKEN_ALONE = re.compile(r"(?i)\b(https?://)[^\s/:@?#'\"]+@")
_NAMES = (
    r"(?:[\w-]*(?:pass|pwd|secret|token|signature|credential)[\w-]*"
    r"|(?:api|access|account)[_-]?key|key|sig)"
)
_QUERY = re.compile(rf"(?i)([?&;]{_NAMES}=)[^&\s'\"#;]*")
_HTTP_QUERY = re.compile(r"(?i)\bhttps?://[^\s'\"?]*\?[^\s'\"#]*")
"""An address up to its fragment: of one over HTTP every value of the query may be a key."""
_VALUE = re.compile(r"=[^&;]*")
_WORDS = re.compile(r"(?i)\b((?:\w*password|passwd|pwd)\s*=\s*)('(?:[^'\\]|\\.)*'|\"[^\"]*\"|[^\s&'\"]+)")


def mask(text: str) -> str:
    """``text`` with the password of every address in it, and every ``password=…``, replaced by ``***``.

    >>> mask("postgresql+psycopg://ann:pw@host/db?sslpassword=x")
    'postgresql+psycopg://ann:***@host/db?sslpassword=***'
    """
    text = _USER_AND_PASSWORD.sub(rf"\1:{MASK}@", text)
    text = _SPACED.sub(rf"\1:{MASK}@", text)
    text = _HTTP_USER.sub(rf"\1{MASK}@", text)
    text = _TOKEN_ALONE.sub(rf"\1{MASK}@", text)
    text = _HTTP_QUERY.sub(lambda found: _VALUE.sub(f"={MASK}", found.group()), text)
    text = _QUERY.sub(rf"\1{MASK}", text)
    return _WORDS.sub(rf"\1{MASK}", text)


def masked(value: T) -> T:
    """``value`` (strings in lists and tables, nested) with every string masked."""
    found: Any = value
    match value:
        case str():
            found = mask(value)
        case dict():
            found = {key: masked(inner) for key, inner in value.items()}
        case list() | tuple():
            found = type(value)(masked(inner) for inner in value)
    return found  # type: ignore[no-any-return]
