"""The terminal: whatever a file, a model or a server says is text there and cannot steer it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from evals.base.text import printable


class Terminal(Console):
    """A rich console on which every string, table cells included, goes through ``printable``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)
