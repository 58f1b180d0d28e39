"""Counting between vLLM's steps, on a stand-in for its engine; vLLM itself is asked in test_contract.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from evals.engine import Underway
from harness.engines import vllm_watch


class Completion:
    """As vLLM's output processor keeps one: its detokenizer knows how many tokens it has."""

    def __init__(self, length: int) -> None:
        self.length, self.tokens = length, 0
        self.detokenizer = SimpleNamespace(num_output_tokens=lambda: self.tokens)


class Engine:
    def __init__(self, lengths: list[int]) -> None:
        self.running = {str(place): Completion(length) for place, length in enumerate(lengths)}
        self.output_processor = SimpleNamespace(request_states=self.running)

    def step(self) -> list[Any]:
        for name, completion in list(self.running.items()):
            completion.tokens += 1
            if completion.tokens == completion.length:
                del self.running[name]
        return []


def test_every_token_is_told_and_the_engine_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_watch, "EVERY", 0.0)
    engine, told = Engine([1, 3]), []
    with vllm_watch.told_between_steps(engine, told.append):
        while engine.running:
            engine.step()
    assert told == [Underway(1, 1, 1), Underway(1, 1, 2), Underway(2, 4, 0)]
    assert engine.step.__func__ is Engine.step  # type: ignore[attr-defined]


def test_the_end_is_told_however_short_the_call() -> None:
    engine, told = Engine([5, 5]), []
    with vllm_watch.told_between_steps(engine, told.append):
        while engine.running:
            engine.step()
    assert told[-1] == Underway(2, 10, 0)
    assert len(told) < 5
