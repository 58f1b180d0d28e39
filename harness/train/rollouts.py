"""A prompt's rollouts: what training and its dev evaluations sample, and the graders that judge them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from evals.base.closing import Closing
from evals.engine import Completion, Engine, Request, Sampling
from evals.graders import safe
from evals.graders.base import Grader, Verdict
from evals.graders.judge.base import JudgedGrader
from evals.graders.registry import grader_of
from evals.rollout import Rollout, Score
from evals.task import Task
from harness.config import Training
from harness.models import dist
from harness.rewards.judge_cache import Allowance
from harness.train.stream import Prompt


@dataclass(frozen=True)
class RolloutGroup:
    """The rollouts of one prompt, in the order of their seeds."""

    prompt: Prompt
    prompt_ids: tuple[int, ...]
    rollouts: tuple[Rollout, ...]

    @classmethod
    def of(
        cls, prompt: Prompt, prompt_ids: Sequence[int], completions: Iterable[Completion], stage: Training
    ) -> Self:
        """What was sampled for a prompt under the stage's limits, nobody having judged it yet."""
        buffer = getattr(stage, "overlong_buffer", 0)  # GRPO's alone
        made = tuple(
            Rollout(
                prompt.question,
                prompt.text,
                completion,
                max_tokens=stage.max_tokens,
                overlong_buffer=buffer,
                sample=sample,
            )
            for sample, completion in enumerate(completions)
        )
        return cls(prompt, tuple(prompt_ids), made)

    @property
    def rewards(self) -> list[float]:
        """NaN for a response that could not be scored.

        Raises:
            ValueError: the reward mix has not seen them.
        """
        totals = [rollout.score.total for rollout in self.rollouts if rollout.score is not None]
        if len(totals) < len(self.rollouts):
            raise ValueError(f"question {self.prompt.question.id}: a rollout was not scored")
        return totals

    def scored(self, scores: Sequence[Score]) -> Self:
        """The group with a score for each of its rollouts."""
        pairs = zip(self.rollouts, scores, strict=True)
        return replace(self, rollouts=tuple(replace(one, score=score) for one, score in pairs))

    def weighed(self, advantages: Sequence[float]) -> Self:
        """The group with an advantage for each of its rollouts."""
        pairs = zip(self.rollouts, advantages, strict=True)
        return replace(self, rollouts=tuple(replace(one, advantage=value) for one, value in pairs))


def sampled(
    engine: Engine,
    prompts: Sequence[Prompt],
    requests: Sequence[Request],
    stage: Training,
    stop: Sequence[str],
) -> list[RolloutGroup]:
    """A group for each request, at the stage's temperature and length limit.

    ``stop``: the template's strings that end a completion.
    """
    sampling = Sampling(temperature=stage.temperature, max_tokens=stage.max_tokens, stop=tuple(stop))
    groups = engine.generate(requests, sampling)
    return [
        RolloutGroup.of(prompt, group.prompt_ids, group.completions, stage)
        for prompt, group in zip(prompts, groups, strict=True)
    ]


class Graders(Closing):
    """One grader of each kind that is asked for, all closed at the end. Threads may share them."""

    def __init__(self, judge_costs: Path | None = None) -> None:
        """``judge_costs``: the file in which a judge's tokens are counted (``Allowance``), if at all."""
        self._costs = Allowance(path=judge_costs)
        self._lock = threading.RLock()
        self._open = ExitStack()
        self._graders: dict[str, Grader] = {}

    def close(self) -> None:
        """Closes every grader."""
        self._open.close()

    def of(self, task: Task) -> Grader:
        """The grader of the task's answers; tasks that are graded alike share one."""
        with self._lock:
            if task.graded_by not in self._graders:
                grader = self._graders[task.graded_by] = self._open.enter_context(grader_of(task))
                if isinstance(grader, JudgedGrader):
                    grader.tell_of_each(self._costs.replied)
            return self._graders[task.graded_by]

    def grade(self, groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
        """The groups with their verdicts; each kind's go to its grader in one call.

        Several processes share the work, and so agree even where a verdict depends on the time it took.
        """
        items = [(group.prompt.task, rollout) for group in groups for rollout in group.rollouts]
        verdicts = iter(dist.spread(self._verdicts, items))  # alone: a rollout need not travel back
        return [
            replace(group, rollouts=tuple(replace(one, verdict=next(verdicts)) for one in group.rollouts))
            for group in groups
        ]

    def _verdicts(self, items: Sequence[tuple[Task, Rollout]]) -> list[Verdict]:
        verdicts: dict[int, Verdict] = {}
        for alike, task in {task.graded_by: task for task, _ in items}.items():
            mine = [place for place, (each, _) in enumerate(items) if each.graded_by == alike]
            responses = [items[place][1].item() for place in mine]
            with self._lock:
                verdicts.update(zip(mine, safe.grade(self.of(task), responses), strict=True))
        return [verdicts[place] for place in range(len(items))]
