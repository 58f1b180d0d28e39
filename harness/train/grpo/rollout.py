"""Rollouts: sample groups of completions, grade them and score them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch

from evals.engine import Completion, Engine, Group, Request, Sampling, sample_seed
from evals.graders import safe
from evals.graders.base import Grader, Response, Verdict
from evals.graders.registry import make_grader
from harness.config import GRPO
from harness.models import dist
from harness.rewards import Attempt, Mix, Score
from harness.train.grpo.advantages import equal_rewards
from harness.train.stream import Prompt, Stream


@dataclass(frozen=True)
class Rollout:
    """One prompt with its group of completions, graded and scored."""

    prompt: Prompt
    group: Group
    attempts: tuple[Attempt, ...]
    scores: tuple[Score, ...]

    @property
    def rewards(self) -> list[float]:
        """NaN for a completion that could not be scored."""
        return [score.total for score in self.scores]

    @property
    def informative(self) -> bool:
        """Whether its rewards differ: only then has it an advantage to learn from."""
        return not bool(equal_rewards(torch.tensor([self.rewards], dtype=torch.float64)))


@dataclass(frozen=True)
class Batch:
    """One training step's rollouts.

    ``rollouts`` are trained on; ``dropped`` were sampled too and replaced, because all rewards in the
    group were equal. Means over what the policy did (reward, length) take both.
    """

    rollouts: tuple[Rollout, ...]
    dropped: tuple[Rollout, ...]
    rollout_seconds: float
    reward_seconds: float

    @property
    def sampled(self) -> tuple[Rollout, ...]:
        return self.rollouts + self.dropped


class Graders:
    """One grader of each kind that is asked for, all closed at the end."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._graders: dict[str, Grader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def of(self, kind: str) -> Grader:
        """The grader of that kind."""
        if kind not in self._graders:
            self._graders[kind] = self._open.enter_context(make_grader(kind))
        return self._graders[kind]

    def grade(self, items: Sequence[tuple[Prompt, Completion]]) -> list[Verdict]:
        """One verdict per completion, in order; each kind's go to its grader in one call.

        Several processes share the work, and so agree even where a verdict depends on the time it took.
        """
        return dist.spread(self._grade, items)

    def _grade(self, items: Sequence[tuple[Prompt, Completion]]) -> list[Verdict]:
        verdicts: dict[int, Verdict] = {}
        for kind in dict.fromkeys(prompt.task.grader for prompt, _ in items):
            mine = [i for i, (prompt, _) in enumerate(items) if prompt.task.grader == kind]
            responses = [
                (items[i][0].question, Response(items[i][1].text, items[i][1].finish_reason == "length"))
                for i in mine
            ]
            verdicts.update(zip(mine, safe.grade(self.of(kind), responses), strict=True))
        return [verdicts[i] for i in range(len(items))]


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

    def draw(self, step: int) -> Batch:
        """The batch of the experiment's step ``step``: the same one for the same policy, stream and seed.

        With ``refill_rounds``, groups of equal rewards give way to fresh ones. Where the rounds do not
        suffice, some of them stay, so that a step always has its completions.
        """
        wanted = self._stage.completions_per_step // self._stage.group_size
        occurrences: Counter[str] = Counter()
        informative: list[Rollout] = []
        equal: list[Rollout] = []
        seconds = [0.0, 0.0]
        for _ in range(self._stage.refill_rounds + 1):
            drawn = self._round(step, wanted - len(informative), occurrences, seconds)
            informative += [rollout for rollout in drawn if rollout.informative]
            equal += [rollout for rollout in drawn if not rollout.informative]
            if len(informative) == wanted:
                break
        kept = wanted - len(informative)
        return Batch((*informative, *equal[:kept]), tuple(equal[kept:]), *seconds)

    def _round(self, step: int, count: int, occurrences: Counter[str], seconds: list[float]) -> list[Rollout]:
        prompts = self._stream.take(count)
        started = time.perf_counter()
        stage = self._stage
        requests = [
            Request(prompt.text, stage.group_size, self._request_seed(step, prompt, occurrences))
            for prompt in prompts
        ]
        sampling = Sampling(temperature=stage.temperature, max_tokens=stage.max_tokens, stop=self._stop)
        groups = self._engine.generate(requests, sampling)
        sampled = time.perf_counter()
        rollouts = self._score(prompts, groups, step)
        seconds[0] += sampled - started
        seconds[1] += time.perf_counter() - sampled
        return rollouts

    def _request_seed(self, step: int, prompt: Prompt, occurrences: Counter[str]) -> int:
        """A question drawn twice in one step (a small data set) gets other completions the second time."""
        key = f"step-{step}/{prompt.question.id}"
        again = occurrences[key]
        occurrences[key] += 1
        return sample_seed(self._seed, f"{key}/{again}" if again else key)

    def _score(self, prompts: Sequence[Prompt], groups: Sequence[Group], step: int) -> list[Rollout]:
        verdicts = iter(
            self._graders.grade(
                [
                    (prompt, completion)
                    for prompt, group in zip(prompts, groups, strict=True)
                    for completion in group.completions
                ]
            )
        )
        attempts = [
            tuple(
                Attempt(
                    question=prompt.question,
                    prompt=prompt.text,
                    completion=completion,
                    verdict=next(verdicts),
                    max_tokens=self._stage.max_tokens,
                    overlong_buffer=self._stage.overlong_buffer,
                )
                for completion in group.completions
            )
            for prompt, group in zip(prompts, groups, strict=True)
        ]
        of_stage = step - self._first_step
        scores = dist.spread(
            lambda mine: [tuple(scores) for scores in self._mix.score_step(mine, of_stage)], attempts
        )
        return [Rollout(*parts) for parts in zip(prompts, groups, attempts, scores, strict=True)]
