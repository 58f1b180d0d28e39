"""A thinking budget: after so many tokens inside <think> a completion is made to close it and to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from evals.templates import THINK_CLOSES, THINK_OPENS, opens_thinking

WINDOW = 16
"""The last tokens that are searched for a tag: each decodes to at least a byte, the first ones may lose a
space or half a character."""


@dataclass
class _Thought:
    """How far one completion's thinking has come."""

    inside: bool
    spent: int = 0
    """Tokens since it was opened."""
    closed: bool = False
    tail: list[int] = field(default_factory=list)
    """The last tokens drawn."""
    forced: list[int] = field(default_factory=list)
    """What is put in place of the next tokens."""


class ThinkingBudget:
    """Counts the tokens that each completion of a batch thinks, and closes the thinking at the budget.

    A completion thinks from the <think> that its prompt ends with or that it writes itself, to the first
    </think>; it thinks once.
    """

    def __init__(self, tokenizer: Any, prompts: Sequence[Sequence[int]], budget: int) -> None:
        """``prompts``: the prompt of each completion, in token ids; ``budget``: tokens, 0 or more."""
        self._tokenizer = tokenizer
        self._budget = budget
        self._closing: list[int] = tokenizer.encode(THINK_CLOSES, add_special_tokens=False)
        ends = [prompt[-WINDOW:] for prompt in prompts]
        self._rows = [_Thought(opens_thinking(text)) for text in self._texts(ends)]

    def within(self, tokens: torch.Tensor, logprobs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The drawn tokens (rows,) and their log-probabilities, with closing tags in place of some.

        What is put there was certain: its log-probability is 0.
        """
        drawn = tokens.tolist()
        forced = {}
        for row, thought in enumerate(self._rows):
            if thought.inside and not thought.forced and thought.spent >= self._budget:
                thought.forced = list(self._closing)
            if thought.forced:
                drawn[row] = forced[row] = thought.forced.pop(0)
        self._follow(drawn)
        if forced:
            places = torch.tensor(list(forced), device=tokens.device)
            put = torch.tensor(list(forced.values()), device=tokens.device)
            tokens = tokens.index_copy(0, places, put)
            logprobs = logprobs.index_fill(0, places, 0.0)
        return tokens, logprobs

    def keep(self, rows: Sequence[int]) -> None:
        """Continues with these completions alone."""
        self._rows = [self._rows[row] for row in rows]

    def _follow(self, drawn: Sequence[int]) -> None:
        for thought, token in zip(self._rows, drawn, strict=True):
            thought.tail = [*thought.tail, token][-WINDOW:]
            thought.spent += thought.inside
        open_rows = [thought for thought in self._rows if not thought.closed and not thought.forced]
        for thought, text in zip(open_rows, self._texts([row.tail for row in open_rows]), strict=True):
            if thought.inside and THINK_CLOSES in text:
                thought.inside, thought.closed = False, True
            elif not thought.inside and THINK_OPENS in text:
                thought.inside = True

    def _texts(self, tails: Sequence[Sequence[int]]) -> list[str]:
        if not tails:
            return []
        texts: list[str] = self._tokenizer.batch_decode(
            list(tails), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return texts
