"""Which questions are the same one: by their text, for splits and data sets number them as they like.

Spaces, capitals, Unicode variants and punctuation at the ends of words do not make it a different question.
"""

from __future__ import annotations

import hashlib
import unicodedata

ENDS, BEGINS = ".,;:!?\"'“”‘’", "\"'“‘"
"""Punctuation that does not count at a word's end, and at its beginning."""


def normalised(text: str) -> str:
    """The text as it is compared."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    words = [word.rstrip(ENDS).lstrip(BEGINS) for word in plain.casefold().split()]
    return " ".join([word for word in words if word])


def text_key(text: str) -> int:
    """Eight bytes for the text: those of a million questions fit into memory."""
    plain = normalised(text).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(plain, digest_size=8).digest())
