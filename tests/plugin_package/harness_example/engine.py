"""An engine with a setting: Hugging Face's model, which refuses calls of too many completions."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from evals.base.errors import UsageError
from evals.base.registry import takes
from evals.engine import Group, Request, Sampling
from harness.engines.hf import TransformersEngine
from harness.engines.registry import Place
from harness.models.policy import Policy


class Settings(BaseModel):
    most: int = Field(4096, ge=1, description="Completions that one call may ask for.")


class Bounded(TransformersEngine):
    name = "bounded"

    def __init__(self, policy: Policy, own_weights: bool, most: int) -> None:
        super().__init__(policy, own_weights=own_weights)
        self._most = most

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        asked = sum(request.n for request in requests)
        if asked > self._most:
            raise UsageError(f"engine bounded: {asked} completions were asked for, its most is {self._most}")
        return super().generate(requests, sampling)


@takes(Settings)
def bounded(policy: Policy, place: Place, settings: Settings) -> Bounded:
    return Bounded(policy, place.own_weights, settings.most)
