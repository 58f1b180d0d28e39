"""Drawn in pieces, a completion is what it would be with the closing tag put in token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from evals.engine import Request, Sampling
from harness.engines.thinking import ThinkingBudget
from harness.engines.vllm_thinking import Drawn, Piece, within_budget

WORDS = ["a", "b", "<think>", "</think>", "<th", "ink>", "S", "E"]
"""Two of the tags in pieces too, a stop string, and an end token."""
END = WORDS.index("E")


class Tokenizer:
    """A token a word; a closing tag that is put in has three."""

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert text == "</think>"
        return [100, 101, 102]

    def batch_decode(self, rows: Sequence[Sequence[int]], **_: Any) -> list[str]:
        return ["".join(word(token) for token in row) for row in rows]


def word(token: int) -> str:
    return {100: "</", 101: "think", 102: ">"}.get(token) or WORDS[token]


def next_token(script: Sequence[int], so_far: int) -> int:
    return script[so_far % len(script)]


def by_pieces(prompt: list[int], script: list[int], sampling: Sampling) -> list[int]:
    def draw(pieces: Sequence[Piece]) -> list[list[Drawn]]:
        (piece,) = pieces
        ids: list[int] = []
        while len(ids) < piece.max_tokens:
            ids.append(next_token(script, len(piece.prompt) - len(prompt) + len(ids)))
            text = "".join(map(word, ids))
            met = next((each for each in piece.stop if each in text), None)
            if met or ids[-1] == END:
                return [[Drawn(tuple(ids), (-1.0,) * len(ids), True, met)]]
        return [[Drawn(tuple(ids), (-1.0,) * len(ids), False)]]

    [[found]] = within_budget(draw, [prompt], [Request("", 1, 0)], sampling, Tokenizer())
    assert len(found.ids) == len(found.logprobs)
    assert [logprob == 0 for logprob in found.logprobs] == [token >= 100 for token in found.ids]
    return list(found.ids)


def token_by_token(prompt: list[int], script: list[int], sampling: Sampling) -> list[int]:
    assert sampling.thinking_budget is not None
    budget = ThinkingBudget(Tokenizer(), [prompt], sampling.thinking_budget)
    ids: list[int] = []
    while len(ids) < sampling.max_tokens:
        drawn = torch.tensor([next_token(script, len(ids))])
        ids.append(int(budget.within(drawn, torch.tensor([-1.0]))[0]))
        text = "".join(map(word, ids))
        if ids[-1] == END or any(each in text for each in sampling.stop):
            break
    return ids


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=3),
    st.lists(st.integers(0, len(WORDS) - 1), min_size=1, max_size=12),
    st.integers(0, 6),
    st.integers(1, 14),
)
def test_pieces_make_the_same_completion(
    prompt: list[int], script: list[int], budget: int, max_tokens: int
) -> None:
    sampling = Sampling(max_tokens=max_tokens, stop=("S",), thinking_budget=budget)
    assert by_pieces(prompt, script, sampling) == token_by_token(prompt, script, sampling)


def test_every_piece_has_a_seed_of_its_own() -> None:
    seeds: list[int] = []

    def draw(pieces: Sequence[Piece]) -> list[list[Drawn]]:
        seeds.extend(piece.seed for piece in pieces)
        return [[Drawn((0,) * piece.max_tokens, (), False)] for piece in pieces]

    asked = [Request("", 3, 10, logprobs=False)]
    [found] = within_budget(draw, [[2]], asked, Sampling(max_tokens=9, thinking_budget=2), Tokenizer())
    assert [each.ids for each in found] == [(0, 0, 100, 101, 102, 0, 0, 0, 0)] * 3
    assert len(set(seeds)) == len(seeds) == 6
