"""A coin for each completion: what a policy gains by it, no reward has taught it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

from pydantic import Field

from evals.base.registry import takes
from evals.rollout import Rollout
from harness.config.table import Table
from harness.rewards.registry import whole_group


class Settings(Table):
    """The coin."""

    probability: float = Field(0.5, gt=0.0, lt=1.0)
    """How often it gives 1."""


@whole_group
@takes(Settings)
def random(group: Sequence[Rollout], settings: Settings) -> list[float]:
    """1 with ``probability``, else 0, whatever was written (arXiv 2506.10947's random rewards).

    The coin is a hash of the question, the completion's place in its group, its tokens and their
    log-probabilities. These change with every update of the policy: a text gets another coin each time that
    it is written, and a run that resumes the same ones.
    """
    return [float(_uniform(place, rollout) < settings.probability) for place, rollout in enumerate(group)]


def _uniform(place: int, rollout: Rollout) -> float:
    completion = rollout.completion
    key = hashlib.blake2b(f"{rollout.question.id}/{place}/{rollout.text}".encode(), digest_size=8)
    key.update(struct.pack(f"{len(completion.logprobs)}d", *completion.logprobs))
    return float(int.from_bytes(key.digest(), "big") / 2**64)
