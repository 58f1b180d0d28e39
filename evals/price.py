"""What responses of a server cost: tokens by the server's count, at a price for a million of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Protocol

from evals.stats.tables import Bill, JudgeBill


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
    prompt, response, uncounted, _ = _sums(samples)
    return {
        "prompt_tokens": prompt,
        "response_tokens": response,
        "price_per_million": asdict(price),
        "total": price.of(prompt, response),
        "uncounted": uncounted,
    }


def judge_bill(replies: Iterable[Counted], price: Price | None) -> JudgeBill | None:
    """The "judge_cost" of scores.json, as ``bill``; without a price only what was read and written.

    None where the judge gave no reply.
    """
    prompt, response, uncounted, requests = _sums(replies)
    if not requests:
        return None
    found: JudgeBill = {
        "requests": requests,
        "prompt_tokens": prompt,
        "response_tokens": response,
        "uncounted": uncounted,
    }
    if price is not None:
        found["price_per_million"] = asdict(price)
        found["total"] = price.of(prompt, response)
    return found


def _sums(counted: Iterable[Counted]) -> tuple[int, int, int, int]:
    """Tokens of prompts and of responses, how many of these were not counted, and of how many in all."""
    prompt = response = uncounted = number = 0
    for each in counted:
        number += 1
        uncounted += each.prompt_tokens is None or each.tokens is None
        prompt += each.prompt_tokens or 0
        response += each.tokens or 0
    return prompt, response, uncounted, number
