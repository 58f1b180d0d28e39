"""One sampled response, from the prompt that it answers to the row that a report shows.

Whatever learns of it adds to the same object: a grader its verdict, the reward mix its score, GRPO its
advantage. ``records.Sample.of`` makes an evaluation's row of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evals.engine import Completion
from evals.graders import safe
from evals.graders.base import Grader, Response, Verdict
from evals.graders.reading import split_reasoning, without_tags
from evals.task import Question

THINK, END_THINK, ANSWER, END_ANSWER = "<think>", "</think>", "<answer>", "</answer>"
NOT_GRADED = Verdict("grader_error", None, "not graded")


@dataclass(frozen=True)
class Score:
    """A response's reward: each function's value (None: it could not score this one) and their sum.

    ``parts`` are the functions' own values, before gates, normalisation and weights. ``total`` is the
    weighted sum, NaN where a function that counts could not score: such a response takes no part in its
    group's baseline and gets advantage 0 (TRL would add up the others, and so punish it).
    """

    parts: Mapping[str, float | None]
    total: float


@dataclass(frozen=True)
class Rollout:
    """A completion of one prompt, and all that is known of it by now.

    ``question`` is as this sample of it was asked; ``sample`` is its number among the question's samples.
    ``max_tokens`` is the length limit it was sampled under (0: not known), ``overlong_buffer`` the training
    stage's setting. ``score`` and ``advantage`` are there where a policy learns from it.
    """

    question: Question
    prompt: str
    completion: Completion
    verdict: Verdict = NOT_GRADED
    max_tokens: int = 0
    overlong_buffer: int = 0
    sample: int = 0
    score: Score | None = None
    advantage: float | None = None

    @property
    def tokens(self) -> int:
        return self.completion.tokens or 0

    @property
    def truncated(self) -> bool:
        return self.completion.finish_reason == "length"

    @property
    def text(self) -> str:
        """The response from its opening tag on: some templates begin the reasoning in the prompt."""
        opened = self.prompt.rstrip().endswith(THINK)
        return THINK + self.completion.text if opened else self.completion.text

    @property
    def reasoning(self) -> str:
        """What was written before the end of the reasoning (before the answer, where that end is missing)."""
        reasoning, said = split_reasoning(self.text)
        if said is None or not reasoning:
            reasoning = self.text.partition(ANSWER)[0]
        return without_tags(reasoning).strip()

    @property
    def said(self) -> str:
        """What was written after the reasoning; "" where there is none, or it never ended."""
        reasoning, said = split_reasoning(self.text)
        return said if reasoning and said else ""

    def item(self, unclosed_answers: bool = True) -> safe.Item:
        """What a grader gets to see of it; ``unclosed_answers`` as in ``Protocol``."""
        return self.question, Response(self.completion.text, self.truncated, unclosed_answers)


def graded(grader: Grader, rollouts: Sequence[Rollout], unclosed_answers: bool = True) -> list[Rollout]:
    """The rollouts with their verdicts, in order."""
    verdicts = safe.grade(grader, [rollout.item(unclosed_answers) for rollout in rollouts])
    return [replace(rollout, verdict=verdict) for rollout, verdict in zip(rollouts, verdicts, strict=True)]
