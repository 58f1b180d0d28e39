"""Named reward functions and their mix."""

from harness.rewards.attempt import Attempt
from harness.rewards.mix import Mix, Score, check_names, make_mix
from harness.rewards.registry import names, whole_group

__all__ = ["Attempt", "Mix", "Score", "check_names", "make_mix", "names", "whole_group"]
