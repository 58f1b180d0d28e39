"""A loss with a setting: REINFORCE, each token's log-probability weighed by the advantage."""

import torch
from pydantic import BaseModel, Field

from evals.base.registry import takes
from harness.train.grpo.losses.base import Tokens


class Settings(BaseModel):
    scale: float = Field(1.0, gt=0, description="What the loss is multiplied by.")


@takes(Settings)
def reinforce(tokens: Tokens, settings: Settings) -> torch.Tensor:
    """(B, T): -scale * A * logprob."""
    return -settings.scale * tokens.advantages * tokens.logprobs
