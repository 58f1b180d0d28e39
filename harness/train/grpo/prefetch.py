"""Sampling ahead: while a step is learned, completions of later ones are drawn.

An engine in this process draws them with the weights of before the update, which waits for them to be drawn
before it hands on new ones. Servers get new weights while they draw: completions that have begun go on with
them, and each token has the number of the weights that drew it (``Completion.versions``; here the training
step that made them, 0 for what training started from). No token is learned from more than
``rollout_ahead`` updates after those weights, since no batch is begun earlier than that.

The sampler's log-probabilities, as they were when each token was drawn, correct for the difference
(``sampler_correction``). What has been drawn and not learned from yet is part of a checkpoint, for the
weights that drew it are gone; what is being drawn then is drawn anew after a resume.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from evals.base.errors import JobError
from evals.engine import Completion, Engine
from evals.graders.base import Verdict
from evals.rollout import Score
from harness.config import GRPO
from harness.engines.registry import in_flight, version_of
from harness.models import dist
from harness.train.grpo.rollout import Batch, Sampler
from harness.train.rollouts import RolloutGroup
from harness.train.stream import Prompt


@dataclass(frozen=True)
class _Drawing:
    """A batch on its way. ``weights``: the training step that made the weights at its beginning;
    ``position``: the stream's before its prompts were taken."""

    weights: int
    position: int
    batch: Future[Batch]


class Ahead:
    """Draws batches with a ``Sampler`` in threads; its engine must hold weights of its own.

    Of several processes the first one draws, and the others are told what it has drawn.
    """

    def __init__(
        self, sampler: Sampler, stage: GRPO, prompts: Sequence[Prompt], engine: Engine, last_step: int
    ) -> None:
        """``prompts``: what the sampler's stream draws from. ``last_step``: nothing is drawn beyond it."""
        self._sampler = sampler
        self._stage = stage
        self._prompts = prompts
        self._engine = engine
        self._last_step = last_step
        self._threads = ThreadPoolExecutor(stage.rollout_ahead, thread_name_prefix="rollout")
        self._ready: deque[Batch] = deque()
        self._drawing: deque[_Drawing] = deque()
        self._made_in: dict[int, int] = {}
        """The engine's number of its weights -> the training step that made them."""

    def take(self, step: int) -> Batch:
        """The batch of training step ``step``: the one drawn ahead, or one of the weights as they are.

        Its seconds are those that were waited for it: what drawing took beside an update is nobody's loss.

        Raises:
            Exception: whatever drawing met.
        """
        if dist.world() == 1:
            return self._take(step)
        return self._batch(dist.decided(lambda: _told(self._take(step))))

    def _take(self, step: int) -> Batch:
        self._made_in.setdefault(version_of(self._engine), step - 1)
        if not self._ready:
            if not self._drawing:
                self._begin(step)
            self._ready.append(self._finished())
        return self._ready.popleft()

    def start(self, step: int) -> None:
        """Begins to draw for the steps after ``step``, which is about to be learned."""
        if not dist.is_main():
            return
        first = step + 1 + len(self._ready) + len(self._drawing)
        for later in range(first, min(step + self._stage.rollout_ahead, self._last_step) + 1):
            self._begin(later)

    def _begin(self, step: int) -> None:
        # Prompts are taken here, in the order of the steps; what replaces them, by the thread, which is then
        # the only one (rollout_ahead = 1).
        position = self._sampler.position
        first = self._sampler.prompts()
        weights = self._made_in[version_of(self._engine)]
        drawn = self._threads.submit(self._alone, step, first)
        self._drawing.append(_Drawing(weights, position, drawn))

    def _alone(self, step: int, first: Sequence[Prompt]) -> Batch:
        with dist.alone():
            return self._sampler.draw(step, first)

    def _finished(self) -> Batch:
        """The batch that was begun first, once it is drawn, every token with the step of its weights."""
        began = time.perf_counter()
        drawing = self._drawing.popleft()
        batch = drawing.batch.result()
        known = replace(
            batch,
            groups=tuple(self._dated(group, drawing.weights) for group in batch.groups),
            dropped=tuple(self._dated(group, drawing.weights) for group in batch.dropped),
        )
        return replace(known, rollout_seconds=time.perf_counter() - began, reward_seconds=0.0)

    def _dated(self, group: RolloutGroup, weights: int) -> RolloutGroup:
        """The group's completions with steps for versions; an engine without versions had ``weights``."""
        rollouts = []
        for rollout in group.rollouts:
            one = rollout.completion
            versions = tuple(self._made_in[number] for number in one.versions)
            one = replace(one, versions=versions or (weights,) * len(one.token_ids))
            rollouts.append(replace(rollout, completion=one))
        return replace(group, rollouts=tuple(rollouts))

    def wait(self) -> float:
        """Waits until the engine can be given new weights, and returns for how many seconds.

        Raises:
            Exception: whatever drawing met.
        """
        began = time.perf_counter()
        if not in_flight(self._engine):
            while self._drawing:
                self._ready.append(replace(self._finished(), rollout_seconds=0.0))
        return time.perf_counter() - began

    def moved(self, step: int) -> None:
        """The engine has the weights that ``step`` made."""
        self._made_in[version_of(self._engine)] = step

    def close(self) -> None:
        """Ends the threads once they have drawn what they are drawing, and waits where they use this process.

        Servers may have stopped half-way in an update that failed: nobody is to wait for them.
        """
        self._threads.shutdown(wait=not in_flight(self._engine), cancel_futures=True)

    def state(self) -> dict[str, Any]:
        """What was drawn ahead, as plain data, and the stream's position behind its prompts."""
        while self._drawing and self._drawing[0].batch.done() and not self._drawing[0].batch.exception():
            self._ready.append(replace(self._finished(), rollout_seconds=0.0))
        behind = self._drawing[0].position if self._drawing else self._sampler.position
        return {"ahead": [_told(batch) for batch in self._ready], "position": behind}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes what ``state`` returned.

        Raises:
            JobError: a question that it was drawn for is no longer among the prompts.
        """
        if dist.is_main():
            self._ready.extend(self._batch(told) for told in state["ahead"])

    def _batch(self, told: Mapping[str, Any]) -> Batch:
        """The inverse of ``_told``."""
        kept, dropped = (tuple(self._group(row) for row in told[name]) for name in ("groups", "dropped"))
        return Batch(kept, dropped, *told["seconds"])

    def _group(self, row: Mapping[str, Any]) -> RolloutGroup:
        """The inverse of ``_plain``."""
        task, question, _ = key = tuple(row["prompt"])
        place = row["place"]
        prompt = self._prompts[place] if place < len(self._prompts) else None
        if prompt is None or _key(prompt) != key:
            raise JobError(
                f"data.train: question {question} of {task}, for which the checkpoint holds completions, "
                "is no longer there as it was: put the data back, or name another --out"
            )
        completions = [Completion(**each) for each in row["completions"]]
        group = RolloutGroup.of(prompt, row["prompt_ids"], completions, self._stage)
        judged = zip(group.rollouts, row["verdicts"], strict=True)
        rollouts = tuple(replace(one, verdict=Verdict(**verdict)) for one, verdict in judged)
        return replace(group, rollouts=rollouts).scored([Score(**score) for score in row["scores"]])


def staleness(batch: Batch, step: int) -> dict[str, float]:
    """How many updates behind the weights of before ``step`` the tokens' were, and the share of completions
    that several weights drew."""
    drawn = [rollout.completion.versions for group in batch.groups for rollout in group.rollouts]
    ages = [step - 1 - version for versions in drawn for version in versions]
    if not ages:
        return {}
    return {
        "staleness": sum(ages) / len(ages),
        "staleness/max": float(max(ages)),
        "staleness/mixed": sum(len(set(versions)) > 1 for versions in drawn) / len(drawn),
    }


def _told(batch: Batch) -> dict[str, Any]:
    """A batch as plain data."""
    return {
        "groups": [_plain(group) for group in batch.groups],
        "dropped": [_plain(group) for group in batch.dropped],
        "seconds": [batch.rollout_seconds, batch.reward_seconds],
    }


def _plain(group: RolloutGroup) -> dict[str, Any]:
    """A group that was drawn, as plain data."""
    verdicts = [rollout.verdict for rollout in group.rollouts]
    scores = [rollout.score for rollout in group.rollouts if rollout.score is not None]
    return {
        "prompt": list(_key(group.prompt)),
        "place": group.prompt.place,
        "prompt_ids": list(group.prompt_ids),
        "completions": [asdict(rollout.completion) for rollout in group.rollouts],
        "verdicts": [{"status": v.status, "answer": v.answer, "detail": v.detail} for v in verdicts],
        "scores": [{"parts": dict(score.parts), "total": score.total} for score in scores],
    }


def _key(prompt: Prompt) -> tuple[str, str, str]:
    """With the text, for two splits of a task may number their questions alike."""
    return prompt.task.name, prompt.question.id, prompt.text
