"""How far a call of ``generate`` has come, told while it draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evals.engine import Underway


class Watch:
    """What an engine counts while it draws, and whoever listens is told."""

    def __init__(self) -> None:
        self._tell: Callable[[Underway], None] | None = None
        self._ended = self._tokens = 0

    @contextmanager
    def telling(self, tell: Callable[[Underway], None]) -> Iterator[None]:
        """Tells ``tell`` of every call of ``generate`` within the block."""
        self._tell = tell
        try:
            yield
        finally:
            self._tell = None

    def begin(self) -> None:
        """A call of ``generate`` begins."""
        self._ended = self._tokens = 0

    def end(self, tokens: int, completions: int = 1) -> None:
        """Completions of so many ``tokens`` together have ended."""
        self._ended += completions
        self._tokens += tokens

    def tell(self, at_work: int = 0) -> None:
        """``at_work``: tokens of the completions that have not ended."""
        if self._tell is not None:
            self._tell(Underway(self._ended, self._tokens, at_work))
