"""Advantages: how much better a completion did than the others drawn for the same prompt."""

from harness.train.grpo.advantages.base import Groups, equal_rewards
from harness.train.grpo.advantages.registry import AdvantageFunction, advantage_of, advantages

__all__ = ["AdvantageFunction", "Groups", "advantage_of", "advantages", "equal_rewards"]
