"""What a loss of one's own is given and what it returns: the contract of the registry "harness.losses".

A loss is a function ``(tokens: Tokens) -> Tensor | TokenLosses``, or ``(tokens, settings)`` where it has
settings of its own (``evals.base.registry.takes``). It returns the policy's token losses without the KL
penalty, the entropy bonus and the aggregation, which the stage adds for every loss alike:

- (B, T), a loss for each token, or (B, 1), one for every token of a sequence;
- differentiable in ``tokens.logprobs`` (and so in ``tokens.ratio``), float as they are, finite where
  ``mask`` is set. Elsewhere any finite value: its weight is 0;
- of a row's own values only: rows are cut into micro-batches and spread over processes, and their losses add
  up to the loss of the whole;
- constant for a row whose advantage is 0: such completions are left out of the backward pass, but for those
  with chosen tokens.

A loss may also be a class, made with its settings. Where it has a method ``choose`` (``Choosing``), that
picks tokens out of a whole minibatch before the update, and ``tokens.chosen`` marks them in a micro-batch.

The sum over a step's tokens of ``weight * loss`` is what is minimised, the weights being those of
``stage.aggregation``: with "grpo" 1 / (sequences * tokens of the sequence), so that a (B, 1) loss counts
once a sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from harness.config import GRPO

LINEAR_FROM = 10.0


@dataclass(frozen=True)
class Tokens:
    """One micro-batch of B completions, padded to T tokens.

    ``logprobs`` (B, T), of the policy, with a gradient; 0 at padding. ``old`` (B, T), constant: of the
    policy before this step's first update (the values of ``logprobs`` where this is that update). ``ratio``:
    policy / old policy by ``stage.ratio``, with a gradient: (B, T) per token, or (B, 1) as exp of the mean
    log-ratio. ``advantages`` (B, 1), constant. ``mask`` (B, T) bool: the completion tokens that count.
    ``correction`` (B, T), or (B, 1) where it is a sequence's, constant and positive: the bounded ratio old /
    sampler by ``stage.sampler_correction``; None without one. What a mask leaves out has 1 there, and the
    stage multiplies its loss by 0. ``entropy`` (B, T), of the policy, constant; None where it was not
    computed. ``chosen`` (B, T) bool: what the loss has chosen of these tokens; None: none of them.
    """

    logprobs: torch.Tensor
    old: torch.Tensor
    ratio: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor
    stage: GRPO
    correction: torch.Tensor | None = None
    entropy: torch.Tensor | None = None
    chosen: torch.Tensor | None = None

    @property
    def log_ratio(self) -> torch.Tensor:
        """log(policy / old policy) of each token, (B, T), with a gradient; 0 at padding."""
        return self.logprobs - self.old

    @property
    def sequence_ratio(self) -> torch.Tensor:
        """exp of the mean log-ratio, (B, 1), with a gradient (GSPO): ``ratio`` by "sequence"."""
        return bounded_exp(self.log_ratio.sum(1, keepdim=True) / self.lengths)

    @property
    def lengths(self) -> torch.Tensor:
        """Tokens of each completion, (B, 1), at least 1."""
        return self.mask.sum(1, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class TokenLosses:
    """Token losses, and what is known of how they came about.

    ``losses`` (B, T) or (B, 1). ``clipped``: bool, (B, T) or (B, 1), where the loss stopped or cut the
    gradient, for the metric ``clip_fraction``; None: nowhere. ``corrected``: the loss has applied
    ``tokens.correction`` itself; otherwise the token losses are multiplied by it.
    """

    losses: torch.Tensor
    clipped: torch.Tensor | None = None
    corrected: bool = False


LossFunction = Callable[[Tokens], torch.Tensor | TokenLosses]
"""A loss whose settings are filled in."""


@dataclass(frozen=True)
class Minibatch:
    """All N tokens in the loss of one optimiser step, completion after completion, the same in every process.

    ``logprobs`` (N,): of the policy that drew them, as the sampling engine reported them, which is the policy
    before the step's first update where ``rollout_ahead`` is 0. ``advantages`` (N,). ``rng``: seeded by the
    run's seed, the step and the minibatch, for what is left to chance.
    """

    logprobs: npt.NDArray[np.float64]
    advantages: npt.NDArray[np.float64]
    rng: np.random.Generator


@runtime_checkable
class Choosing(Protocol):
    """A loss that chooses tokens out of a whole minibatch."""

    def choose(self, minibatch: Minibatch) -> npt.NDArray[np.intp]:
        """The places, each once and in any order, of the chosen ones among the minibatch's N tokens."""
        ...

    def __call__(self, tokens: Tokens) -> torch.Tensor | TokenLosses: ...


def bounded_exp(x: torch.Tensor) -> torch.Tensor:
    """exp(x) up to x = 10, then its tangent: the same below, finite and still rising above."""
    return x.clamp(max=LINEAR_FROM).exp() * (1 + (x - LINEAR_FROM).clamp(min=0))
