from __future__ import annotations

from typing import Any

import pytest
import torch

from evals.engine import Request, Sampling
from harness.engines.hf import TransformersEngine
from harness.engines.thinking import ThinkingBudget
from harness.models.policy import Policy


class Characters:
    """A token a character."""

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [ord(character) for character in text]

    def batch_decode(self, rows: list[list[int]], **_: Any) -> list[str]:
        return ["".join(map(chr, row)) for row in rows]


def said(
    prompts: list[str], wanted: list[str], budget: int, keep: dict[int, list[int]] | None = None
) -> list[str]:
    """What completions become that would say ``wanted``, drawn side by side; some leave after a step."""
    tokenizer = Characters()
    thinking = ThinkingBudget(tokenizer, [tokenizer.encode(each, False) for each in prompts], budget)
    rows, texts = list(range(len(prompts))), ["" for _ in prompts]
    for step in range(len(wanted[0])):
        drawn = torch.tensor([ord(wanted[row][step]) for row in rows])
        tokens, logprobs = thinking.within(drawn, torch.full((len(rows),), -1.0))
        for row, token, was, logprob in zip(rows, tokens.tolist(), drawn.tolist(), logprobs, strict=True):
            texts[row] += chr(token)
            assert float(logprob) == (-1.0 if token == was else 0.0) or chr(token) in "</think>"
        if keep and step in keep:
            thinking.keep(keep[step])
            rows = [rows[place] for place in keep[step]]
    return texts


def test_thinking_that_the_prompt_opens_is_closed_at_the_budget() -> None:
    assert said(["Q <think>\n"], ["a" * 20], 5) == ["aaaaa</think>" + "a" * 7]
    assert said(["Q <think>\n"], ["a" * 10], 0) == ["</think>aa"]


def test_thinking_that_the_response_opens_is_closed_too() -> None:
    assert said(["Q"], ["so <think>bbbbbbbbbbbbb"], 4) == ["so <think>bbbb</think>b"]


def test_no_thinking_and_finished_thinking_are_left_alone() -> None:
    for prompt, text in [
        ("Q", "no thought at all, ever"),
        ("tags <think> x </think> Q", "no thought at all, ever"),
        ("<think>\n", "ab</think> then an answer"),
        ("<think>\n", "ab</think> <think>never again closed"),
    ]:
        assert said([prompt], [text], 10) == [text]


def test_each_completion_is_counted_by_itself() -> None:
    prompts = ["<think>", "Q", "<think>"]
    wanted = ["x" * 24, "y" * 24, "</think>" + "z" * 16]
    alone = [said([prompt], [text], 12)[0] for prompt, text in zip(prompts, wanted, strict=True)]
    assert said(prompts, wanted, 12) == alone
    assert said(prompts, wanted, 12, keep={3: [0, 2]})[0] == alone[0]


def test_an_engine_closes_the_thinking(tiny_random_policy: Policy) -> None:
    engine = TransformersEngine(tiny_random_policy)
    request = Request("Compute 1 + 1. <think>", 4, 7)
    free = engine.generate([request], Sampling(max_tokens=40))[0].completions
    bound = engine.generate([request], Sampling(max_tokens=40, thinking_budget=3))[0].completions
    closing = tiny_random_policy.tokenizer.encode("</think>", add_special_tokens=False)
    for one, other in zip(free, bound, strict=True):
        assert other.token_ids[:3] == one.token_ids[:3]
        assert list(other.token_ids[3 : 3 + len(closing)]) == closing
        assert other.logprobs[3 : 3 + len(closing)] == (0.0,) * len(closing)
    again = engine.generate(
        [Request("Compute 1 + 1. <think>", 1, 9)], Sampling(max_tokens=40, thinking_budget=3)
    )
    assert again[0].completions[0].token_ids == bound[2].token_ids


@pytest.mark.parametrize("changes", [{"min_p": 0.3}, {"repetition_penalty": 1.3}])
def test_a_completion_is_its_own_whatever_runs_beside_it(
    tiny_random_policy: Policy, changes: dict[str, float]
) -> None:
    engine = TransformersEngine(tiny_random_policy)
    sampling = Sampling(max_tokens=24, **changes)  # type: ignore[arg-type]
    together = engine.generate([Request("abcdef", 6, 0), Request("gh", 5, 50)], sampling)
    alone = engine.generate([Request("abcdef", 1, 3)], sampling)
    assert alone[0].completions[0].token_ids == together[0].completions[3].token_ids
