"""Named reward functions and their mix."""

from evals.rollout import Rollout, Score
from harness.rewards.mix import Mix, check_names, make_mix
from harness.rewards.registry import names, whole_group

Attempt = Rollout
"""Its name in earlier versions, which rewards of one's own import."""

__all__ = ["Attempt", "Mix", "Rollout", "Score", "check_names", "make_mix", "names", "whole_group"]
