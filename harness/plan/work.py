"""One part of what there is to do: its tokens, its model FLOPs, and what a server takes for it."""

from __future__ import annotations

from dataclasses import dataclass

from evals.price import Price
from harness.config import Policy

CHARACTERS = 4
"""Characters a token, where no tokenizer says."""


@dataclass(frozen=True)
class Work:
    """One part: ``sampled`` and ``learned`` tokens and their FLOPs; ``batch`` completions at once.

    ``steps`` of training, or one for what is done once; ``policy`` is the model at work, ``length`` the
    assumed response in tokens. ``role`` is "train", "evaluate" (dev questions, while it trains) or "measure"
    (benchmarks, whatever is left of a budget).
    """

    name: str
    role: str
    policy: Policy
    steps: int
    batch: int = 0
    prompt: float = 0.0
    length: float = 0.0
    sampled: float = 0.0
    learned: float = 0.0
    sampling_flops: float = 0.0
    learning_flops: float = 0.0
    note: str = ""
    beside: bool = False
    """Whether it is done in the steps of the part before it."""
    ahead: bool = False
    """Whether servers sample it while earlier steps are learned (``rollout_ahead``)."""
    reads: bool = False
    """Whether the model reads what another one has sampled, and writes nothing."""

    @property
    def flops(self) -> float:
        return self.sampling_flops + self.learning_flops

    @property
    def responses(self) -> float:
        """How many responses are sampled in all of the steps."""
        return self.sampled / self.length if self.length else 0.0

    @property
    def price(self) -> float | None:
        """What a server takes for it; None where none is asked, or nothing says."""
        server = self.policy.server
        if server is None or server.price_in is None or server.price_out is None:
            return None
        price = Price(server.price_in, server.price_out)
        if self.reads:  # whole responses as prompts, each answered by a token
            read = self.learned / self.length if self.length else 0.0
            return price.of(read * self.prompt + self.learned, read)
        return price.of(self.responses * self.prompt, self.sampled)
