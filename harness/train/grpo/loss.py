"""The GRPO loss (DeepSeek-R1, eq. 1-2) and its published variants, as pure functions of (B, T) tensors.

A loss is a sum over tokens, ``(weights * token_losses).sum()``. The weights are set once for all the
sequences of an optimiser step, so the sum over micro-batches is the loss of the whole, however it was cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from evals.base.errors import JobError
from harness.config import GRPO
from harness.config.kinds import LOSSES
from harness.train.grpo.correction import Correction, correction_of
from harness.train.grpo.losses.base import LossFunction, TokenLosses, Tokens, bounded_exp


@dataclass(frozen=True)
class Denominators:
    """What the aggregations divide by: counts over one whole optimiser step, not over a micro-batch.

    ``sequences`` and ``tokens`` are those of this minibatch; ``mean_tokens`` is the tokens of all
    completions of the training step divided by its number of minibatches.
    """

    sequences: int
    tokens: int
    mean_tokens: float


def token_weights(mask: torch.Tensor, stage: GRPO, whole: Denominators) -> torch.Tensor:
    """The weight of each token's loss, (B, T) float64; TRL's loss types of the same names.

    grpo: 1 / (sequences * tokens of its sequence). bnpo: 1 / tokens of the minibatch. dapo: 1 / the mean
    tokens of the step's minibatches. dr_grpo: 1 / (sequences * max_tokens). TRL normalises "bnpo" by each
    micro-batch; here micro-batches do not change the loss.
    """
    mask = mask.double()
    match stage.aggregation:
        case "grpo":
            return mask / (mask.sum(1, keepdim=True).clamp(min=1) * whole.sequences)
        case "bnpo":
            return mask / max(whole.tokens, 1)
        case "dapo":
            return mask / max(whole.mean_tokens, 1.0)
        case "dr_grpo":
            return mask / (whole.sequences * stage.max_tokens)


def importance_ratio(log_ratio: torch.Tensor, mask: torch.Tensor, stage: GRPO) -> torch.Tensor:
    """policy / old policy: (B, T) per token, or (B, 1) as exp of the mean log-ratio (GSPO, eq. 5)."""
    if stage.ratio == "token":
        return bounded_exp(log_ratio)
    lengths = mask.sum(1, keepdim=True).clamp(min=1)
    return bounded_exp(log_ratio.sum(1, keepdim=True) / lengths)


def loss_of(stage: GRPO) -> LossFunction:
    """The loss that ``stage.loss`` names, its settings filled in (contract: losses/base.py).

    Raises:
        UsageError: it cannot be loaded, or its settings are not what it takes.
    """
    function: LossFunction = LOSSES.make(stage.loss.kind, stage.loss.settings, f"{stage.name}.loss")
    return function


def surrogate_losses(tokens: Tokens, function: LossFunction) -> TokenLosses:
    """The policy's token losses without KL.

    Raises:
        JobError: the loss returned another shape than (B, T) or (B, 1).
    """
    found = function(tokens)
    found = found if isinstance(found, TokenLosses) else TokenLosses(found)
    rows, length = tokens.mask.shape
    if tuple(found.losses.shape) not in ((rows, length), (rows, 1)):
        raise JobError(
            f"{tokens.stage.name}.loss: {tokens.stage.loss.kind} returned the shape "
            f"{tuple(found.losses.shape)}, expected {(rows, length)} or {(rows, 1)}"
        )
    return found


def kl_estimates(logprobs: torch.Tensor, reference: torch.Tensor, stage: GRPO) -> torch.Tensor:
    """Schulman's estimators of KL(policy || reference) per token, (B, T), with d = reference - policy.

    k1 = -d; its gradient has mean 0, so as a penalty it acts only with ``kl_unbiased``. k2 = d^2 / 2.
    k3 = exp(d) - d - 1, the exp going on as its tangent from d = 10 (a token that the policy has made
    22,000 times less likely): one such token would otherwise outweigh the batch by a factor of billions,
    and a plain clamp would turn its gradient away from the reference.
    """
    difference = reference - logprobs
    match stage.kl_estimator:
        case "k1":
            return -difference
        case "k2":
            return difference**2 / 2
        case "k3":
            return bounded_exp(difference) - difference - 1


@dataclass(frozen=True)
class TokenTerms:
    """What one micro-batch's loss is made of; (B, T) except ``advantages`` (B,).

    ``mask`` is 1 on the completion tokens that count. ``old``, ``reference`` and ``sampler`` are constant
    log-probabilities: under the policy before this step's first update (None: this is that update), under
    the reference policy (None where beta is 0) and as the sampling engine reported them (None where no
    correction is asked for). ``entropy`` takes part in the loss only where ``entropy_bonus`` is set.
    ``chosen``: the tokens that the loss has chosen (losses/base.py), bool; None: none of these.
    """

    logprobs: torch.Tensor
    mask: torch.Tensor
    advantages: torch.Tensor
    old: torch.Tensor | None = None
    reference: torch.Tensor | None = None
    sampler: torch.Tensor | None = None
    entropy: torch.Tensor | None = None
    chosen: torch.Tensor | None = None


@dataclass(frozen=True)
class Loss:
    """The loss to differentiate, and detached (B, T) or (B, 1) tensors for the metrics."""

    value: torch.Tensor
    ratio: torch.Tensor
    clipped: torch.Tensor
    kl: torch.Tensor | None
    correction: Correction


def grpo_loss(
    terms: TokenTerms,
    stage: GRPO,
    whole: Denominators,
    function: LossFunction | None = None,
    entropy_weight: float | None = None,
) -> Loss:
    """This micro-batch's share of the loss of one optimiser step: shares add up to it.

    ``function``: ``loss_of(stage)`` where that is at hand. ``entropy_weight``: that of the entropy bonus in
    this step; by default the stage's.
    """
    mask = terms.mask.bool()
    logprobs = torch.where(mask, terms.logprobs, 0.0)
    old = logprobs.detach() if terms.old is None else torch.where(mask, terms.old, 0.0)
    advantages = terms.advantages[:, None]

    ratio = importance_ratio(logprobs - old, mask, stage)
    correction = correction_of(old, terms.sampler, mask, stage)
    entropy = None if terms.entropy is None else torch.where(mask, terms.entropy, 0.0).detach()
    tokens = Tokens(logprobs, old, ratio, advantages, mask, stage, correction.weights, entropy, terms.chosen)
    found = surrogate_losses(tokens, function or loss_of(stage))
    token_losses = found.losses
    applied = Correction(kept=correction.kept).applied() if found.corrected else correction.applied()
    if applied is not None:
        token_losses = token_losses * applied
    kl = None
    if stage.beta > 0:
        if terms.reference is None:
            raise ValueError("beta > 0 needs the reference policy's log-probabilities")
        kl = kl_estimates(logprobs, torch.where(mask, terms.reference, 0.0), stage)
        if stage.kl_unbiased:
            kl = kl * ratio
        token_losses = token_losses + stage.beta * kl

    value = (token_losses * token_weights(mask, stage, whole).to(token_losses.dtype)).sum()
    bonus = stage.entropy_bonus.weight if entropy_weight is None else entropy_weight
    if bonus > 0:
        if terms.entropy is None:
            raise ValueError("entropy_bonus needs the policy's entropy")
        value = value - bonus * torch.where(mask, terms.entropy, 0.0).sum() / max(whole.tokens, 1)
    return Loss(
        value,
        ratio.detach(),
        torch.zeros_like(mask) if found.clipped is None else found.clipped,
        None if kl is None else kl.detach(),
        correction,
    )
