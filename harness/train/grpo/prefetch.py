"""Sampling one step ahead: while a step is learned, the next one's completions are drawn.

They come from the policy as it was before the step that is being learned, one update behind the one that
will learn from them; the sampler's log-probabilities correct for that (``sampler_correction``). What has been
drawn and not learned from yet is part of a checkpoint, for the weights that drew it are gone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

from evals.base.errors import JobError
from evals.engine import Completion
from evals.graders.base import Verdict
from evals.rollout import Score
from harness.config import GRPO
from harness.train.grpo.rollout import Batch, Sampler
from harness.train.rollouts import RolloutGroup
from harness.train.stream import Prompt


class Ahead:
    """Draws batches with a ``Sampler`` in a thread; its engine must hold weights of its own."""

    def __init__(self, sampler: Sampler, stage: GRPO, prompts: Sequence[Prompt]) -> None:
        """``prompts``: what the sampler's stream draws from."""
        self._sampler = sampler
        self._stage = stage
        self._prompts = prompts
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rollout")
        self._drawing: Future[Batch] | None = None
        self._ready: Batch | None = None

    def take(self, step: int) -> Batch:
        """The batch of training step ``step``: the one drawn ahead, or one of the weights as they are."""
        batch = self._ready or self._sampler.draw(step)
        self._ready = None
        return batch

    def start(self, step: int) -> None:
        """Begins to draw the batch of ``step``; engine and stream belong to the thread until ``wait``."""
        self._drawing = self._thread.submit(self._sampler.draw, step)

    def wait(self) -> float:
        """Waits for what was begun, and returns for how many seconds.

        Raises:
            Exception: whatever drawing met.
        """
        if self._drawing is None:
            return 0.0
        began = time.perf_counter()
        drawing, self._drawing = self._drawing, None
        # What it took beside the update is nobody's loss: only waiting is.
        self._ready = replace(drawing.result(), rollout_seconds=0.0, reward_seconds=0.0)
        return time.perf_counter() - began

    def close(self) -> None:
        """Ends the thread once it has drawn what it is drawing."""
        self._thread.shutdown()

    def state(self) -> list[dict[str, Any]] | None:
        """What was drawn ahead as plain data; None where nothing is."""
        if self._ready is None:
            return None
        kept = [(group, True) for group in self._ready.groups]
        dropped = [(group, False) for group in self._ready.dropped]
        return [{"kept": learned, **_plain(group)} for group, learned in (*kept, *dropped)]

    def restore(self, state: Sequence[Mapping[str, Any]] | None) -> None:
        """Takes what ``state`` returned.

        Raises:
            JobError: a question that it was drawn for is no longer among the prompts.
        """
        if state is None:
            return
        groups = [(self._group(row), row["kept"]) for row in state]
        kept = tuple(group for group, learned in groups if learned)
        dropped = tuple(group for group, learned in groups if not learned)
        self._ready = Batch(kept, dropped, 0.0, 0.0)

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
