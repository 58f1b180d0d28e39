"""An example as it is learned, for people: what is only read in grey, what is learned marked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from rich.text import Text

from evals.base.text import printable
from harness.train.sft.stored import Tokens

BEGIN, END = "⟪", "⟫"
"""Around learned parts, so that they show without colours too."""
LONGEST = 2000
"""Characters of each part that are shown."""


def preview(example: Tokens, tokenizer: Any) -> Text:
    """The example's text, special tokens included, with its learned parts marked."""
    shown = Text()
    for learned, part in _parts(example, tokenizer):
        text = part if len(part) <= LONGEST else f"{part[: LONGEST // 2]} … {part[-LONGEST // 2 :]}"
        if learned:
            shown.append(f"{BEGIN}{text}{END}", style="bold green")
        else:
            shown.append(text, style="dim")
    return shown


def counts(example: Tokens) -> str:
    """The example's size in words."""
    return f"{len(example)} tokens, {sum(example.learned)} of them learned"


def _parts(example: Tokens, tokenizer: Any) -> Iterator[tuple[bool, str]]:
    flags = [False] * len(example.prompt) + list(example.learned)
    ids = zip(flags, (*example.prompt, *example.rest), strict=True)
    for learned, run in groupby(ids, key=lambda pair: pair[0]):
        tokens = [token for _, token in run]
        yield learned, printable(tokenizer.decode(tokens, clean_up_tokenization_spaces=False))
