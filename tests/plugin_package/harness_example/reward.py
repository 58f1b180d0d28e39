"""A reward with a setting: 1 for a response of few words."""

from pydantic import BaseModel, Field

from evals.base.registry import takes
from harness.rewards import Rollout


class Settings(BaseModel):
    words: int = Field(20, ge=1, description="The most words that still earn the reward.")


@takes(Settings)
def short(rollout: Rollout, settings: Settings) -> float:
    return float(len(rollout.text.split()) <= settings.words)
