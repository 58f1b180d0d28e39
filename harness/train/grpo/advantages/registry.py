"""A stage's advantages, by the function that it names."""

from __future__ import annotations

from collections.abc import Callable

import torch

from evals.base.errors import JobError
from harness.config import GRPO
from harness.config.kinds import ADVANTAGES
from harness.train.grpo.advantages.base import Groups

AdvantageFunction = Callable[[Groups], torch.Tensor]
"""An advantage function whose settings are filled in."""


def advantage_of(stage: GRPO) -> AdvantageFunction:
    """The function that ``stage.advantage`` names, its settings filled in.

    Raises:
        UsageError: it cannot be loaded, or its settings are not what it takes.
    """
    choice = stage.advantage
    function: AdvantageFunction = ADVANTAGES.make(choice.kind, choice.settings, f"{stage.name}.advantage")
    return function


def advantages(
    rewards: torch.Tensor,
    stage: GRPO,
    lengths: torch.Tensor | None = None,
    function: AdvantageFunction | None = None,
) -> torch.Tensor:
    """The advantages of a step's completions, (groups, group_size), 0 for those that were not scored.

    Args:
        rewards: (groups, group_size) float; NaN marks a completion that no reward function could score.
        lengths: (groups, group_size), in tokens; by default all the same.
        function: ``advantage_of(stage)`` where that is at hand.

    Raises:
        JobError: a function returned another shape, or a number that is not finite.
    """
    groups = Groups(rewards, torch.ones_like(rewards) if lengths is None else lengths, stage)
    found = (function or advantage_of(stage))(groups)
    if found.shape != rewards.shape:
        raise JobError(
            f"{stage.name}.advantage: {stage.advantage.kind} returned the shape {tuple(found.shape)} "
            f"for rewards of shape {tuple(rewards.shape)}"
        )
    found = torch.where(groups.scored, found, 0.0).to(rewards.dtype)
    if not bool(torch.isfinite(found).all()):
        raise JobError(f"{stage.name}.advantage: {stage.advantage.kind} returned a number that is not finite")
    return found
