"""What a reward function sees of one completion."""

from __future__ import annotations

from dataclasses import dataclass

from evals.engine import Completion
from evals.graders.base import Verdict
from evals.graders.reading import split_reasoning, without_tags
from evals.task import Question

THINK, END_THINK, ANSWER, END_ANSWER = "<think>", "</think>", "<answer>", "</answer>"


@dataclass(frozen=True)
class Attempt:
    """One graded completion of one prompt.

    ``max_tokens`` is the length limit it was sampled under, ``overlong_buffer`` the stage's setting.
    """

    question: Question
    prompt: str
    completion: Completion
    verdict: Verdict
    max_tokens: int
    overlong_buffer: int = 0

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
