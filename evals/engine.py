"""What evals/ needs of whatever turns prompts into text: the engine protocol and its plain data.

An engine is handed requests and returns, for each, a group of completions. Engines live in
``harness/engines``; this room only states what it calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, runtime_checkable

FinishReason = Literal["stop", "length"]
TokenPair = tuple[Sequence[int], Sequence[int]]
"""The token ids of a context and of a continuation."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. ``temperature`` 0 is greedy; by default nothing is truncated.

    In this order, which is transformers': ``repetition_penalty`` on the logits of tokens that the prompt or
    the completion holds already (Keskar et al. 2019: positive ones are divided by it, negative ones
    multiplied), ``temperature``, ``top_k``, ``top_p``, and ``min_p`` (Nguyen et al. 2024: nothing below this
    share of the likeliest token's probability). vLLM applies ``min_p`` before ``top_k`` and ``top_p``.

    ``thinking_budget``: after so many tokens inside <think> the closing tag is put in place of what was
    drawn; None: no limit.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    thinking_budget: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data; what was added later is left out where it is off, as earlier files have it."""
        plain = {**asdict(self), "stop": list(self.stop)}
        return {key: value for key, value in plain.items() if key not in LATER or value != LATER[key]}


LATER: Mapping[str, Any] = {"min_p": 0.0, "repetition_penalty": 1.0, "thinking_budget": None}
"""Settings that older records of a sampling do not have, and what they were then."""


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
class Usage:
    """Tokens of a prompt and of its response as a server counts them; None where it does not say."""

    prompt: int | None
    response: int | None


@dataclass(frozen=True)
class Completion:
    """One sampled answer.

    ``token_ids`` includes the end-of-sequence token when ``finish_reason`` is "stop" because of it.
    ``logprobs`` holds, per token of ``token_ids``, the natural-log probability under the distribution
    that the token was drawn from (after repetition penalty and temperature, before truncation); 0 for a token
    that a thinking budget put there. ``text`` leaves out
    end-of-sequence and padding tokens but keeps tags such as ``<think>``.

    ``usage``: of a response that came from a server, which need not show any token ids. ``versions``: per
    token, the number of the weights that drew it, from an engine that gets new ones while it samples.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    usage: Usage | None = None
    versions: tuple[int, ...] = ()

    @property
    def tokens(self) -> int | None:
        """How many tokens it has; None where a server shows neither their ids nor their number."""
        if self.usage is None or (self.token_ids and self.usage.response is None):
            return len(self.token_ids)
        return self.usage.response


@dataclass(frozen=True)
class Group:
    """The completions of one request, in seed order, and the prompt's token ids."""

    prompt_ids: tuple[int, ...]
    completions: tuple[Completion, ...]


class UnansweredError(Exception):
    """An engine that asks elsewhere got no answer to some requests."""


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


@dataclass(frozen=True)
class Underway:
    """How far a call of ``generate`` has come: completions that ``ended`` have ``tokens`` together.

    ``at_work`` are tokens of those that have not; an engine that does not know them says 0 of both.
    """

    ended: int
    tokens: int
    at_work: int


@runtime_checkable
class WatchedEngine(Engine, Protocol):
    """An engine that tells how far a call has come."""

    def watch(self, tell: Callable[[Underway], None]) -> AbstractContextManager[None]:
        """Within the block ``tell`` is called now and then while ``generate`` draws."""
        ...


@runtime_checkable
class StreamingEngine(Engine, Protocol):
    """An engine whose completions depend on their own request alone, and cost money or time elsewhere."""

    @property
    def price(self) -> tuple[float, float] | None:
        """What a million tokens of prompts and of responses cost; None where nothing says."""
        ...

    def stream(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[tuple[int, Completion]]]:
        """Samples requests of one completion each; yields what has come, with the place of its request.

        Raises:
            UnansweredError: some got no answer; the answers of all others were yielded before.
        """
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


@runtime_checkable
class StreamingScorer(ScoringEngine, Protocol):
    """A ``ScoringEngine`` that asks elsewhere: each answer may be all that a killed call leaves."""

    def stream_loglikelihoods(
        self, pairs: Sequence[TokenPair]
    ) -> Iterator[list[tuple[int, tuple[float, bool]]]]:
        """``loglikelihoods``; yields what has come, with the place of its pair.

        Raises:
            UnansweredError: some got no answer; the answers of all others were yielded before.
        """
        ...


def sample_seed(base: int, key: str) -> int:
    """The seed of sample 0 of the question ``key``: 62 bits of blake2b, so that nothing else shifts it."""
    digest = hashlib.blake2b(f"{base}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2
