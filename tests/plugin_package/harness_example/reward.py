"""A reward with a setting: 1 for a response of few words."""

from pydantic import BaseModel, Field

from evals.base.registry import takes
from harness.rewards import Attempt


class Settings(BaseModel):
    words: int = Field(20, ge=1, description="The most words that still earn the reward.")


@takes(Settings)
def short(attempt: Attempt, settings: Settings) -> float:
    return float(len(attempt.text.split()) <= settings.words)
