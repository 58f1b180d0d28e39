"""How far a policy's next-token distributions are from a teacher's, without logits for the whole batch.

The generalised Jensen-Shannon divergence (Agarwal et al. 2023, arXiv 2306.13649, eq. 1) between teacher T and
student S, with the mixture M = beta T + (1 - beta) S:

    JSD(beta) = beta KL(T || M) + (1 - beta) KL(S || M)

where beta = 0 stands for KL(T || S) and beta = 1 for KL(S || T), as TRL's ``DistillationTrainer`` has it. The
vocabulary projections run over a few tokens at a time, and the backward pass computes each piece again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from harness.train.logprobs import PIECE, TokenScores

LEAST_TAIL = 1e-7
"""The least probability, about, of all tokens that are not among the likeliest (TRL's value)."""


class Distribution(Protocol):
    """A teacher's next-token distributions at N places."""

    def divergence(self, part: slice, student: torch.Tensor, beta: float) -> torch.Tensor:
        """(n,): the places of ``part`` compared with ``student``, their (n, V) log-probabilities."""
        ...


@dataclass(frozen=True)
class Whole:
    """All of the vocabulary, by the teacher's own (N, H) hidden states and (V, H) projection.

    Models of one tokenizer may have more rows than it has tokens, some more than others: what one of them
    alone has stands for no token and is left out of the comparison.
    """

    hidden: torch.Tensor
    weight: torch.Tensor
    temperature: float = 1.0

    def divergence(self, part: slice, student: torch.Tensor, beta: float) -> torch.Tensor:
        with torch.no_grad():
            teacher = log_softmax(self.hidden[part], self.weight, self.temperature)
        common = min(student.shape[1], teacher.shape[1])
        return generalised_jsd(student[:, :common], teacher[:, :common], beta)

    def likeliest(self, count: int, vocabulary: int, piece: int = PIECE) -> Likeliest:
        """The ``count`` likeliest tokens at each place, of the first ``vocabulary`` ones."""
        rows = max(1, piece // self.weight.shape[0])
        found = []
        with torch.no_grad():
            for start in range(0, len(self.hidden), rows):
                logs = log_softmax(self.hidden[start : start + rows], self.weight, self.temperature)
                found.append(logs[:, :vocabulary].topk(count, dim=1))
        return Likeliest(torch.cat([each.indices for each in found]), torch.cat([e.values for e in found]))


@dataclass(frozen=True)
class Likeliest:
    """The likeliest tokens alone: (N, k) ids and log-probabilities; all others count as one token."""

    ids: torch.Tensor
    logprobs: torch.Tensor

    def divergence(self, part: slice, student: torch.Tensor, beta: float) -> torch.Tensor:
        mine = student.gather(1, self.ids[part])
        return generalised_jsd(with_tail(mine), with_tail(self.logprobs[part].to(student.dtype)), beta)


def generalised_jsd(student: torch.Tensor, teacher: torch.Tensor, beta: float) -> torch.Tensor:
    """(n,) divergences, in nats, of (n, V) log-probabilities; see above."""
    if beta == 0:
        return _kl(teacher, student)
    if beta == 1:
        return _kl(student, teacher)
    mixture = torch.logaddexp(student + math.log1p(-beta), teacher + math.log(beta))
    return beta * _kl(teacher, mixture) + (1 - beta) * _kl(student, mixture)


def with_tail(logprobs: torch.Tensor) -> torch.Tensor:
    """(n, k + 1): (n, k) log-probabilities, and that of all other tokens together."""
    kept = torch.logsumexp(logprobs, dim=1, keepdim=True).clamp(max=-LEAST_TAIL)
    return torch.cat([logprobs, torch.log(-torch.expm1(kept))], dim=1)


def compare(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    teacher: Distribution,
    beta: float,
    temperature: float = 1.0,
    piece: int = PIECE,
) -> TokenScores:
    """Log-probabilities of the targets and divergences, differentiable in ``hidden`` and ``weight``.

    Args:
        hidden: (N, H), the policy's states at the places that predict ``targets``.
        weight: (V, H), its vocabulary projection.
        targets: (N,) int64.
        teacher: its distributions at the same places.
        piece: logits held at once.
    """
    rows = max(1, piece // weight.shape[0])
    weight = weight.to(hidden.dtype)

    def score(part: slice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logs = log_softmax(hidden[part], weight, temperature)
        entropy = -torch.linalg.vecdot(logs.detach().exp(), logs.detach())
        return (
            logs.gather(1, targets[part, None])[:, 0],
            entropy,
            teacher.divergence(part, logs, beta),
        )

    parts = [slice(start, start + rows) for start in range(0, len(hidden), rows)]
    if len(parts) == 1:
        return TokenScores(*score(parts[0]))
    found = [checkpoint(score, part, use_reentrant=False) for part in parts]
    return TokenScores(*(torch.cat(column) for column in zip(*found, strict=True)))


def log_softmax(hidden: torch.Tensor, weight: torch.Tensor, temperature: float) -> torch.Tensor:
    """(n, V), float32 at least; the product itself runs in the dtype of ``hidden``."""
    with torch.autocast(hidden.device.type, enabled=False):
        logits = F.linear(hidden, weight.to(hidden.dtype))
    logits = logits.float() if logits.dtype.itemsize < 4 else logits
    return torch.log_softmax(logits / temperature, dim=1)


def _kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return (p.exp() * (p - q)).sum(1)
