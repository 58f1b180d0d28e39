"""An advantage: +1 above the group's mean reward, -1 below it, 0 at it."""

import torch

from harness.train.grpo.advantages import Groups


def signs(groups: Groups) -> torch.Tensor:
    """(groups, group_size); a completion without a reward is NaN here, which counts as 0."""
    return torch.sign(groups.rewards - groups.rewards.nanmean(dim=1, keepdim=True))
