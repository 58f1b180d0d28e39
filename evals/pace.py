"""How far sampling a benchmark has come, and how long the rest takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Advance:
    """``done`` of ``total`` samples have ended; those that this call drew have ``tokens``.

    ``at_work`` are tokens of samples that have not ended; none has more than ``most``.
    """

    done: int
    total: int
    tokens: int
    at_work: int = 0
    most: int = 0

    @property
    def worth(self) -> float:
        """``done``, with each sample at work by its share of the most tokens that it may have."""
        return min(self.total, self.done + (self.at_work / self.most if self.most else 0.0))


class Pace:
    """Told each advance, it says what there is to tell: words, and the seconds that are left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._before: int | None = None
        """Samples that were there when this call began."""

    def __call__(self, now: Advance) -> tuple[str, float | None]:
        """(words on tokens, seconds left), the latter None before any sample has ended.

        A sample to come takes as long as those that ended did, samples at work included, which is the mean of
        lengths of which some are known only to be longer than so far; and never more than ``most`` tokens.
        """
        if self._before is None:
            self._before = now.done
        seconds = self._clock() - self._began
        drawn = now.tokens + now.at_work
        words = f"{drawn:,} tokens" if drawn else ""
        words += f", {drawn / seconds:,.0f} a second" if drawn and seconds else ""
        ended = now.done - self._before
        if ended <= 0 or now.done >= now.total:
            return words, None
        left = seconds / ended * (now.total - now.done)
        if drawn and now.most:
            left = min(left, seconds / drawn * ((now.total - now.done) * now.most - now.at_work))
        return words, left
