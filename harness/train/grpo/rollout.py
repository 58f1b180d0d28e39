"""Rollouts: sample groups of completions, grade them and score them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from evals.engine import Engine, Request, sample_seed
from harness.config import GRPO
from harness.models import dist
from harness.rewards import Mix
from harness.train.grpo.advantages import equal_rewards
from harness.train.rollouts import Graders, RolloutGroup, sampled
from harness.train.stream import Prompt, Stream


def informative(group: RolloutGroup) -> bool:
    """Whether the group's rewards differ: only then has it an advantage to learn from."""
    return not bool(equal_rewards(torch.tensor([group.rewards], dtype=torch.float64)))


@dataclass(frozen=True)
class Batch:
    """One training step's rollouts.

    ``groups`` are trained on; ``dropped`` were sampled too and replaced, because all rewards in the
    group were equal. Means over what the policy did (reward, length) take both.
    """

    groups: tuple[RolloutGroup, ...]
    dropped: tuple[RolloutGroup, ...]
    rollout_seconds: float
    reward_seconds: float

    @property
    def sampled(self) -> tuple[RolloutGroup, ...]:
        return self.groups + self.dropped

    def weighed(self, advantages: torch.Tensor) -> Batch:
        """The batch with the (groups, group_size) ``advantages`` of what is trained on."""
        rows = zip(self.groups, advantages.tolist(), strict=True)
        return replace(self, groups=tuple(group.weighed(row) for group, row in rows))


class Sampler:
    """Draws one training step's batch from the prompt stream."""

    def __init__(
        self,
        engine: Engine,
        graders: Graders,
        mix: Mix,
        *,
        stage: GRPO,
        stream: Stream[Prompt],
        seed: int,
        first_step: int = 0,
        stop: Sequence[str] = (),
    ) -> None:
        """``first_step``: the steps of earlier stages; seeds count them, the weights of rewards do not.

        ``stop``: the template's strings that end a completion.
        """
        self._engine = engine
        self._graders = graders
        self._mix = mix
        self._stage = stage
        self._stream = stream
        self._seed = seed
        self._first_step = first_step
        self._stop = tuple(stop)
        self._scoring = threading.Lock()

    @property
    def position(self) -> int:
        """The stream's."""
        return self._stream.position

    @property
    def _groups(self) -> int:
        return self._stage.completions_per_step // self._stage.group_size

    def prompts(self) -> list[Prompt]:
        """The stream's next prompts, as many as a step asks at first."""
        return self._stream.take(self._groups)

    def draw(self, step: int, prompts: Sequence[Prompt] | None = None) -> Batch:
        """The batch of the experiment's step ``step``: the same one for the same policy, stream and seed.

        With ``refill_rounds``, groups of equal rewards give way to fresh ones. Where the rounds do not
        suffice, some of them stay, so that a step always has its completions. ``prompts``: of the first
        round, where they were taken from the stream before (``prompts()``). Several threads may draw.
        """
        wanted = self._groups
        occurrences: Counter[str] = Counter()
        telling: list[RolloutGroup] = []
        equal: list[RolloutGroup] = []
        seconds = [0.0, 0.0]
        for _ in range(self._stage.refill_rounds + 1):
            asked = self._stream.take(wanted - len(telling)) if prompts is None else prompts
            prompts = None
            for group in self._round(step, asked, occurrences, seconds):
                (telling if informative(group) else equal).append(group)
            if len(telling) == wanted:
                break
        kept = wanted - len(telling)
        return Batch((*telling, *equal[:kept]), tuple(equal[kept:]), *seconds)

    def _round(
        self, step: int, prompts: Sequence[Prompt], occurrences: Counter[str], seconds: list[float]
    ) -> list[RolloutGroup]:
        started = time.perf_counter()
        requests = [
            Request(prompt.text, self._stage.group_size, self._request_seed(step, prompt, occurrences))
            for prompt in prompts
        ]
        drawn = sampled(self._engine, prompts, requests, self._stage, self._stop)
        answered = time.perf_counter()
        scored = self._scored(self._graders.grade(drawn), step)
        seconds[0] += answered - started
        seconds[1] += time.perf_counter() - answered
        return scored

    def _request_seed(self, step: int, prompt: Prompt, occurrences: Counter[str]) -> int:
        """A question drawn twice in one step (a small data set) gets other completions the second time."""
        key = f"step-{step}/{prompt.question.id}"
        again = occurrences[key]
        occurrences[key] += 1
        return sample_seed(self._seed, f"{key}/{again}" if again else key)

    def _scored(self, groups: Sequence[RolloutGroup], step: int) -> list[RolloutGroup]:
        """The groups with what the reward mix gives them; several processes share the work."""
        of_stage = step - self._first_step
        with self._scoring:
            scores = dist.spread(
                lambda mine: self._mix.score_step(mine, of_stage), [group.rollouts for group in groups]
            )
        return [group.scored(each) for group, each in zip(groups, scores, strict=True)]
