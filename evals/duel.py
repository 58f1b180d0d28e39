"""A response that a judge compared with a baseline's answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Duel:
    """A response against a baseline's answer: it won ``won`` of ``weight`` points, a tie being half of them.

    ``length`` is the judged answer's, in characters: judges like long answers, and some scores allow for it.
    """

    won: float
    weight: float
    length: int

    @property
    def share(self) -> float:
        return self.won / self.weight
