"""A question with options, as it is shown."""

from __future__ import annotations

import string
from collections.abc import Sequence

MOST = 10
"""Options of a question at most: the grader of choices knows the letters A to J."""


def lettered(stem: str, options: Sequence[str]) -> str:
    """The stem, and under it the options with their letters: ``(A) first``."""
    lines = [f"({letter}) {option}" for letter, option in zip(string.ascii_uppercase, options, strict=False)]
    return "\n".join([stem, "", *lines])
