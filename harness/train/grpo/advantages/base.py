"""What an advantage function is given: the contract of the registry "harness.advantages".

It is a function ``(groups: Groups) -> Tensor``, or ``(groups, settings)`` where it has settings of its own
(``evals.base.registry.takes``), from a step's rewards to its advantages, (groups, group_size) both. What it
returns is finite; for completions that were not scored it is taken as 0 whatever it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from harness.config import GRPO


@dataclass(frozen=True)
class Groups:
    """A training step's completions, group by group; every tensor is (groups, group_size).

    ``rewards`` are float; NaN marks a completion that no reward function could score. ``lengths`` are
    tokens. The step is whole: in a job of several processes each one sees all of it.
    """

    rewards: torch.Tensor
    lengths: torch.Tensor
    stage: GRPO

    @property
    def scored(self) -> torch.Tensor:
        """Which completions have a reward, bool."""
        return ~torch.isnan(self.rewards)


def equal_rewards(rewards: torch.Tensor) -> torch.Tensor:
    """(groups,) bool: the scored rewards of a group are all the same, or there are none: nothing to learn."""
    scored = ~torch.isnan(rewards)
    highest = torch.where(scored, rewards, -torch.inf).amax(dim=1)
    lowest = torch.where(scored, rewards, torch.inf).amin(dim=1)
    return highest <= lowest
