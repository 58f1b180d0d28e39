"""Pass@k training: a completion is worth what it does for k answers of which one must be right."""

from __future__ import annotations

import torch
from pydantic import Field

from evals.base.errors import UsageError
from evals.base.registry import takes
from harness.config.table import Table
from harness.train.grpo.advantages.base import Groups


class Settings(Table):
    """What passes, and how many tries there are."""

    k: int = Field(4, ge=1)
    """Answers of which one must pass; at most ``group_size``. 1 is the group's own advantage."""
    passing: float = 0.5
    """A completion passes with a reward of at least this."""


@takes(Settings)
def pass_at_k(groups: Groups, settings: Settings) -> torch.Tensor:
    """(1 - R) / s where a completion passes, else (1 - R - F) / s (arXiv 2508.10751, analytical form).

    Of N completions N- fail. R = 1 - C(N-, k) / C(N, k) is the mean, over all sets of k of them, of "one
    passes"; s = sqrt(R * (1 - R)) its deviation; F = C(N- - 1, k - 1) / C(N - 1, k - 1) the part of the sets
    with a given failure that fail. 0 where R is 0 or 1. The more completions pass, the less is learned:
    nothing once fewer than k fail.

    Raises:
        UsageError: k is above the group's size.
    """
    stage, scored = groups.stage, groups.scored
    if settings.k > groups.rewards.shape[1]:
        raise UsageError(
            f"{stage.name}.advantage.k ({settings.k}) must be at most {stage.name}.group_size "
            f"({groups.rewards.shape[1]})"
        )
    passed = scored & (groups.rewards >= settings.passing)
    count = scored.sum(1, keepdim=True).double()
    failures = count - passed.sum(1, keepdim=True)
    # C(N- - 1, k - 1) / C(N - 1, k - 1) as a product; of fewer than k scored completions, all are the set.
    drawn = torch.arange(1, settings.k, dtype=count.dtype, device=count.device)
    chances = (failures - drawn).clamp(min=0) / (count - drawn).clamp(min=1)
    others_fail = torch.where(drawn < count, chances, 1.0).prod(1, keepdim=True)
    all_fail = others_fail * failures / count.clamp(min=1)
    deviation = (all_fail * (1 - all_fail)).sqrt()
    values = torch.where(passed, all_fail, all_fail - others_fail) / deviation
    return torch.where(scored & (deviation > 0), values, 0.0).to(groups.rewards.dtype)
