"""How likely a served model finds given continuations, which many of lm-eval's tasks ask.

A request of ``echo`` repeats its prompt with the log-probability of each token; vLLM and other servers of
/completions answer it. A chat tells nothing of its prompts, but what it writes can be judged all the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from evals.base.errors import JobError, UsageError
from evals.base.http import Client
from evals.engine import Completion, Group, Request, Sampling, TokenPair
from harness.config import Policy
from harness.engines.served import MOST_TOKENS, ServedEngine, ServerUnansweredError


class ServedScoring:
    """``ServedEngine`` as a ``ScoringEngine``."""

    def __init__(self, engine: ServedEngine, settings: Policy) -> None:
        """``settings`` are those that ``engine`` was made of."""
        assert settings.server is not None
        self._engine = engine
        self._settings = settings
        self._address = settings.server.addresses[0]
        self.name, self.model_hash, self.tokenizer = engine.name, engine.model_hash, engine.tokenizer

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        """As ``ServedEngine.generate``."""
        return self._engine.generate(requests, sampling)

    @property
    def price(self) -> tuple[float, float] | None:
        """As ``ServedEngine.price``."""
        return self._engine.price

    def stream(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[tuple[int, Completion]]]:
        """As ``ServedEngine.stream``."""
        return self._engine.stream(requests, sampling)

    @functools.cached_property
    def positions(self) -> int:
        """Tokens of a prompt, as the server says (vLLM does) or the model's configuration: less two, one for
        a token that is asked for besides, one that scoring reads beyond. Of a chat, whose prompts nobody here
        can count, no limit is known.

        Raises:
            UsageError: neither says.
        """
        if self._engine.is_chat:
            return MOST_TOKENS
        model = self._engine.model
        try:
            told = self._engine.models()
        except ServerUnansweredError:
            told = []
        found = [each.get("max_model_len") for each in told if each.get("id") == model]
        length = next((each for each in found if isinstance(each, int)), None) or _configured(self._settings)
        if not length:
            raise UsageError(
                f"{self._address} does not say how many tokens {model} reads (max_model_len in /models), and "
                "neither does a configuration here: name the model by its folder or hub id"
            )
        return length - 2

    def loglikelihoods(self, pairs: Sequence[TokenPair]) -> list[tuple[float, bool]]:
        """``ScoringEngine.loglikelihoods``; what is too long is cut at the left.

        Raises:
            ServerUnansweredError: as ``stream_loglikelihoods``.
        """
        found: dict[int, tuple[float, bool]] = {}
        for arrived in self.stream_loglikelihoods(pairs):
            found.update(arrived)
        return [found[place] for place in range(len(pairs))]

    def stream_loglikelihoods(
        self, pairs: Sequence[TokenPair]
    ) -> Iterator[list[tuple[int, tuple[float, bool]]]]:
        """``loglikelihoods`` as they come, each with the place of its pair.

        Raises:
            ServerUnansweredError: some got no answer, or one without log-probabilities.
        """
        wholes = [[*context, *continuation][-(self.positions + 1) :] for context, continuation in pairs]
        asked = {
            "model": self._engine.model,
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 1,
            "echo": True,
        }
        bodies = [{**asked, "prompt": whole} for whole in wholes]
        for arrived in self._engine.asked("/completions", bodies, _echoed):
            # Each token has its own, and so has the one that was asked for besides.
            told = [(place, steps) for place, steps in arrived if len(steps) == len(wholes[place]) + 1]
            yield [
                (place, _of_continuation(steps, pairs[place], len(wholes[place]))) for place, steps in told
            ]
            if len(told) < len(arrived):
                raise ServerUnansweredError(
                    f"{self._address}: does not tell the log-probability of each token of a prompt "
                    "(echo with logprobs)"
                )


def _of_continuation(steps: Sequence[tuple[float, bool]], pair: TokenPair, length: int) -> tuple[float, bool]:
    """What ``steps`` say of the pair's continuation, at the end of a prompt of that length."""
    count = min(len(pair[1]), length - 1)
    own = steps[length - count : length]
    return sum(value for value, _ in own), all(likeliest for _, likeliest in own)


def _echoed(answer: Any, _client: Client) -> list[tuple[float, bool]]:
    """For each token its log-probability, and whether none was likelier; the first has nothing before it."""
    told = answer["choices"][0]["logprobs"]
    steps = list(zip(told["token_logprobs"], told["top_logprobs"], strict=True))[1:]
    after = [(float(value), float(value) >= max(map(float, top.values()))) for value, top in steps]
    return [(math.nan, False), *after]


def _configured(settings: Policy) -> int | None:
    """The positions in the model's configuration, where it is here or on the hub."""
    from transformers import AutoConfig

    from harness.models.sources import config_folder

    try:
        config = AutoConfig.from_pretrained(config_folder(settings)).get_text_config()
    except (UsageError, JobError, OSError, ValueError):
        return None
    found = getattr(config, "max_position_embeddings", None)
    return found if isinstance(found, int) else None
