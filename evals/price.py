"""What responses of a server cost: tokens by the server's count, at a price for a million of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Protocol

from evals.stats.tables import Bill


@dataclass(frozen=True)
class Price:
    """Of a million tokens of prompts and of responses, in any currency."""

    prompt: float
    response: float

    def of(self, prompt: float, response: float) -> float:
        """The price of so many tokens."""
        return (prompt * self.prompt + response * self.response) / 1e6


class Counted(Protocol):
    """What knows the tokens of a prompt and of its response, or that nobody counted them (None)."""

    @property
    def prompt_tokens(self) -> int | None: ...

    @property
    def tokens(self) -> int | None: ...


def bill(samples: Iterable[Counted], price: Price) -> Bill:
    """The "cost" of scores.json: tokens, their price and its total, and how many samples were not counted.

    What a server charges for requests that failed and were sent again is in no answer, and not in here.
    """
    prompt = response = uncounted = 0
    for sample in samples:
        if sample.prompt_tokens is None or sample.tokens is None:
            uncounted += 1
        prompt += sample.prompt_tokens or 0
        response += sample.tokens or 0
    return {
        "prompt_tokens": prompt,
        "response_tokens": response,
        "price_per_million": asdict(price),
        "total": price.of(prompt, response),
        "uncounted": uncounted,
    }
