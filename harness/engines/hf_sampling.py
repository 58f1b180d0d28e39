"""Drawing tokens: a stream of uniform numbers per completion, and the inverse of the distribution function.

A completion's tokens depend on its seed and its logits and on nothing else: not on its place in the
batch, nor on which other completions run beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from evals.base.errors import JobError
from evals.engine import Sampling
from harness.engines.thinking import ThinkingBudget

BLOCK = 64  # uniforms drawn at once per completion: a call costs more than the numbers


class Uniforms:
    """Uniform numbers in [0, 1): one stream per completion, Philox keyed by its seed, one number a step."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._streams = [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]
        self._device = device
        self._block = torch.empty(0)
        self._used = BLOCK

    def next(self) -> torch.Tensor:
        """The next number of every stream, float64 of shape (completions,)."""
        if self._used == BLOCK:
            drawn = np.stack([stream.random(BLOCK) for stream in self._streams], axis=1)
            # A hair below one, so that no rounding lifts ``u * total`` to the total itself.
            self._block = torch.from_numpy(drawn * (1 - 2.0**-40)).to(self._device)
            self._used = 0
        self._used += 1
        return self._block[self._used - 1]

    def keep(self, rows: Sequence[int]) -> None:
        """Continues with these streams alone."""
        self._streams = [self._streams[row] for row in rows]
        self._block = self._block[:, list(rows)]


class Draws:
    """What the completions of a batch draw with: random numbers, the tokens that they hold, their budgets."""

    def __init__(
        self,
        tokenizer: Any,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        device: torch.device,
    ) -> None:
        """``prompts``: the prompt of each completion, in token ids."""
        self._sampling = sampling
        self._uniforms = Uniforms(seeds, device)
        self._prompts = prompts
        self._held: torch.Tensor | None = None
        budget = sampling.thinking_budget
        self._thinking = None if budget is None else ThinkingBudget(tokenizer, prompts, budget)

    def next(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One token per completion and its log-probability, as ``choose`` gives them."""
        penalty = self._sampling.repetition_penalty
        if penalty != 1:
            if self._held is None:
                self._held = _held_tokens(self._prompts, logits)
            logits = penalised(logits, self._held, penalty)
        tokens, logprobs = choose(logits, self._uniforms.next(), self._sampling)
        if self._thinking is not None:
            tokens, logprobs = self._thinking.within(tokens, logprobs)
        if self._held is not None:
            self._held.scatter_(1, tokens[:, None], True)
        return tokens, logprobs

    def keep(self, rows: Sequence[int]) -> None:
        """Continues with these completions alone."""
        self._uniforms.keep(rows)
        if self._held is not None:
            self._held = self._held[list(rows)]
        if self._thinking is not None:
            self._thinking.keep(rows)


def _held_tokens(prompts: Sequence[Sequence[int]], logits: torch.Tensor) -> torch.Tensor:
    """Which tokens each prompt holds, bool of the logits' shape (rows, vocabulary)."""
    held = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
    for row, prompt in enumerate(prompts):
        held[row, torch.tensor(sorted(set(prompt)), device=logits.device)] = True
    return held


def penalised(logits: torch.Tensor, held: torch.Tensor, penalty: float) -> torch.Tensor:
    """Logits (rows, vocabulary) of float32 in which those of ``held`` tokens are made less likely."""
    scores = logits.float()
    return torch.where(held, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def choose(
    logits: torch.Tensor, uniforms: torch.Tensor, sampling: Sampling
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token per row and its log-probability.

    Args:
        logits: (rows, vocabulary), any float dtype.
        uniforms: (rows,), float64 in [0, 1); not used at temperature 0.

    Returns:
        Tokens (rows,) int64 and log-probabilities (rows,) float32, in nats, under
        ``softmax(logits / temperature)`` before top-k, top-p and min-p; at temperature 0 under
        ``softmax(logits)``.

    Raises:
        JobError: a logit is NaN or infinite: training has broken the policy.
    """
    scores = logits.float()
    if sampling.temperature > 0 and sampling.temperature != 1:
        scores = scores / sampling.temperature
    top = scores.amax(dim=-1, keepdim=True)
    mass = (scores - top).exp()
    if sampling.temperature == 0:
        total = mass.sum(dim=-1, dtype=torch.float64)
        tokens = scores.argmax(dim=-1)
    else:
        cumulative = mass.cumsum(dim=-1, dtype=torch.float64)
        total = cumulative[:, -1]
        if sampling.top_k > 0 or sampling.top_p < 1 or sampling.min_p > 0:
            cumulative = _truncated(mass, sampling).cumsum(dim=-1, dtype=torch.float64)
        # The first token whose cumulative mass exceeds the target: never one of mass zero.
        target = uniforms[:, None] * cumulative[:, -1:]
        tokens = torch.searchsorted(cumulative, target, right=True).squeeze(1)
    if not bool(torch.isfinite(total).all()):
        raise JobError("training diverged: the policy's logits are not finite, so nothing can be sampled")
    chosen = (scores - top).gather(1, tokens[:, None]).squeeze(1)
    return tokens, (chosen.double() - total.log()).float()


def _truncated(mass: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """``mass`` with what top-k, then top-p, then min-p leave out set to zero; ties at the edge of k stay."""
    if 0 < sampling.top_k < mass.shape[-1]:
        least = mass.topk(sampling.top_k, dim=-1).values[:, -1:]
        mass = mass.masked_fill(mass < least, 0.0)
    if sampling.top_p < 1:
        ordered, order = mass.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(dim=-1, dtype=torch.float64) - ordered
        outside = before >= sampling.top_p * ordered.sum(dim=-1, keepdim=True, dtype=torch.float64)
        outside[:, 0] = False
        mass = mass.masked_fill(outside.scatter(1, order, outside), 0.0)
    if sampling.min_p > 0:
        mass = mass.masked_fill(mass < sampling.min_p * mass.amax(dim=-1, keepdim=True), 0.0)
    return mass
