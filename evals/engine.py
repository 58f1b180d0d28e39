"""What evals/ needs of whatever turns prompts into text: the engine protocol and its plain data.

An engine is handed requests and returns, for each, a group of completions. Engines live in
``harness/engines``; this room only states what it calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

FinishReason = Literal["stop", "length"]
TokenPair = tuple[Sequence[int], Sequence[int]]
"""The token ids of a context and of a continuation."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. ``temperature`` 0 is greedy; ``top_k`` 0 and ``top_p`` 1 are off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """``n`` completions of one prompt. Completion ``i`` is drawn with seed ``seed + i``.

    Without ``logprobs`` nobody reads them, and an engine may leave ``Completion.logprobs`` empty.
    """

    prompt: str
    n: int
    seed: int
    logprobs: bool = True


@dataclass(frozen=True)
class Completion:
    """One sampled answer.

    ``token_ids`` includes the end-of-sequence token when ``finish_reason`` is "stop" because of it.
    ``logprobs`` holds, per token of ``token_ids``, the natural-log probability under the distribution
    that the token was drawn from (after temperature, before top-p/top-k). ``text`` leaves out
    end-of-sequence and padding tokens but keeps tags such as ``<think>``.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason


@dataclass(frozen=True)
class Group:
    """The completions of one request, in seed order, and the prompt's token ids."""

    prompt_ids: tuple[int, ...]
    completions: tuple[Completion, ...]


class Engine(Protocol):
    """A loaded model that can be sampled. The same requests give the same groups, whatever else runs."""

    @property
    def name(self) -> str:
        """The engine's kind, as written into scores.json: "transformers" or "vllm"."""
        ...

    @property
    def model_hash(self) -> str:
        """A digest of the weights and tokenizer being sampled: part of the key of every sample."""
        ...

    @property
    def tokenizer(self) -> Any:
        """The Hugging Face tokenizer (a ``PreTrainedTokenizerFast``), for chat templates and counts."""
        ...

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        """Samples every request, in order."""
        ...


@runtime_checkable
class ScoringEngine(Engine, Protocol):
    """An engine that also tells how likely a given continuation is."""

    @property
    def positions(self) -> int:
        """How many tokens the model reads at most, prompt and completion together."""
        ...

    def loglikelihoods(self, pairs: Sequence[TokenPair]) -> list[tuple[float, bool]]:
        """For each pair: ln p(continuation | context), and whether greedy decoding would have chosen it."""
        ...


def sample_seed(base: int, key: str) -> int:
    """The seed of sample 0 of the question ``key``: 62 bits of blake2b, so that nothing else shifts it."""
    digest = hashlib.blake2b(f"{base}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2
