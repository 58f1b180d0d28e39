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
from evals.engine import Completion, Group
from evals.graders.base import Verdict
from harness.config import GRPO
from harness.rewards import Attempt, Score
from harness.train.grpo.rollout import Batch, Rollout, Sampler
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
        kept = [(rollout, True) for rollout in self._ready.rollouts]
        dropped = [(rollout, False) for rollout in self._ready.dropped]
        return [
            {
                "prompt": list(_key(rollout.prompt)),
                "place": rollout.prompt.place,
                "kept": learned,
                "prompt_ids": list(rollout.group.prompt_ids),
                "completions": [asdict(completion) for completion in rollout.group.completions],
                "verdicts": [
                    {"status": a.verdict.status, "answer": a.verdict.answer, "detail": a.verdict.detail}
                    for a in rollout.attempts
                ],
                "scores": [{"parts": dict(s.parts), "total": s.total} for s in rollout.scores],
            }
            for rollout, learned in (*kept, *dropped)
        ]

    def restore(self, state: Sequence[Mapping[str, Any]] | None) -> None:
        """Takes what ``state`` returned.

        Raises:
            JobError: a question that it was drawn for is no longer among the prompts.
        """
        if state is None:
            return
        rollouts = [(self._rollout(row), row["kept"]) for row in state]
        kept = tuple(rollout for rollout, learned in rollouts if learned)
        dropped = tuple(rollout for rollout, learned in rollouts if not learned)
        self._ready = Batch(kept, dropped, 0.0, 0.0)

    def _rollout(self, row: Mapping[str, Any]) -> Rollout:
        task, question, _ = key = tuple(row["prompt"])
        place = row["place"]
        prompt = self._prompts[place] if place < len(self._prompts) else None
        if prompt is None or _key(prompt) != key:
            raise JobError(
                f"data.train: question {question} of {task}, for which the checkpoint holds completions, "
                "is no longer there as it was: put the data back, or name another --out"
            )
        completions = tuple(Completion(**each) for each in row["completions"])
        attempts = tuple(
            Attempt(
                question=prompt.question,
                prompt=prompt.text,
                completion=completion,
                verdict=Verdict(**verdict),
                max_tokens=self._stage.max_tokens,
                overlong_buffer=self._stage.overlong_buffer,
            )
            for completion, verdict in zip(completions, row["verdicts"], strict=True)
        )
        scores = tuple(Score(**score) for score in row["scores"])
        return Rollout(prompt, Group(tuple(row["prompt_ids"]), completions), attempts, scores)


def _key(prompt: Prompt) -> tuple[str, str, str]:
    """With the text, for two splits of a task may number their questions alike."""
    return prompt.task.name, prompt.question.id, prompt.text
