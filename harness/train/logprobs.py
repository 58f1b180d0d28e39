"""Log-probabilities of chosen tokens from hidden states, without a logit tensor for the whole batch.

At 151,936 words one sequence of 1,024 tokens has 0.6 GB of float32 logits, and plain autograd keeps
several copies. Here the vocabulary projection runs over a few tokens at a time, and the backward pass
computes each piece again. Where all the logits are small they are kept instead: the work is then the
plain one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

PIECE = 2**24
"""Logits held at once, in elements (64 MiB in float32); when all of them fit, they are kept for backward."""


class TokenScores(NamedTuple):
    """(N,) float32 each: natural-log probability of the target and entropy of the distribution, in nats.

    ``divergence``: from a teacher's distribution, where it was compared with one.
    """

    logprobs: torch.Tensor
    entropy: torch.Tensor
    divergence: torch.Tensor | None = None


def score_tokens(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    temperature: float = 1.0,
    piece: int = PIECE,
) -> TokenScores:
    """log softmax(hidden @ weight.T / temperature)[target] and the entropy, differentiable in both inputs.

    Args:
        hidden: (N, H), the last hidden states at the positions that predict ``targets``.
        weight: (V, H), the vocabulary projection; it is used in the dtype of ``hidden``.
        targets: (N,) int64.
        piece: logits per piece; the memory needed beyond inputs and gradients is a few times this.
    """
    scores = _ScoreTokens.apply(  # type: ignore[no-untyped-call]
        hidden, weight.to(hidden.dtype), targets, temperature, piece
    )
    return TokenScores(*scores)


class _ScoreTokens(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        temperature: float,
        piece: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = max(1, piece // weight.shape[0])
        logprobs = hidden.new_empty(len(hidden), dtype=torch.float32)
        entropy = torch.empty_like(logprobs)
        kept = None
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            logs = _log_softmax(hidden[part], weight, temperature)
            logprobs[part] = logs.gather(1, targets[part, None])[:, 0]
            probs = logs.exp()
            entropy[part] = -torch.linalg.vecdot(probs, logs)
            kept = probs if len(hidden) <= rows else None
        ctx.save_for_backward(hidden, weight, targets, entropy, kept)
        ctx.temperature, ctx.rows = temperature, rows
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, targets, entropy, kept = ctx.saved_tensors
        grad_logprobs, grad_entropy = grads
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        # Summed in float32: in bfloat16, later pieces would vanish against the sum of the earlier ones.
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        entropy_counts = bool(grad_entropy.any())
        for start in range(0, len(hidden), ctx.rows):
            part = slice(start, start + ctx.rows)
            # d logprob / d logit_j = [j = target] - p_j;  d entropy / d logit_j = -p_j (log p_j + entropy)
            factor = -grad_logprobs[part, None]
            if kept is None or entropy_counts:
                logs = _log_softmax(hidden[part], weight, ctx.temperature)
                if entropy_counts:
                    factor = factor - (logs + entropy[part, None]) * grad_entropy[part, None]
                slope = logs.exp_().mul_(factor)
            else:
                slope = kept * factor
            slope.scatter_add_(1, targets[part, None], grad_logprobs[part, None])
            slope = slope.div_(ctx.temperature) if ctx.temperature != 1.0 else slope
            slope = slope.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = slope @ weight
            if grad_weight is not None:
                grad_weight += slope.T @ hidden[part]
        return grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype), None, None, None


def _log_softmax(hidden: torch.Tensor, weight: torch.Tensor, temperature: float) -> torch.Tensor:
    """(rows, V) float32; the product itself runs in the inputs' dtype."""
    with torch.autocast(hidden.device.type, enabled=False):
        logits = F.linear(hidden, weight).float()
    return torch.log_softmax(logits if temperature == 1.0 else logits.div_(temperature), dim=1)
