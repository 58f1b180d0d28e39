"""An engine that asks OpenAI-compatible servers, such as `vllm serve`: for models too large for here."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeVar

from evals import templates
from evals.base.errors import JobError, UsageError
from evals.base.fleet import Fleet
from evals.base.http import Client, ServerError, text_of
from evals.chat import NoTokenizer, ServerTemplate, chat_of
from evals.engine import Completion, FinishReason, Group, Request, Sampling, UnansweredError, Usage
from evals.templates import THINK_CLOSES, THINK_OPENS, Template
from harness.config import Policy
from harness.config.server import TEACHER_KEY
from harness.engines import tokens

T = TypeVar("T")

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0)
"""Seconds between tries, where the server does not say: two minutes, in which a server can start."""
UNFINISHED = (None, "abort", "error")
"""Reasons to have ended that say that there was no end: half an answer."""
MOST_TOKENS = 2**31
"""What a server counts beyond this is not a number of tokens."""


class ServerUnansweredError(UnansweredError, JobError):
    """Some requests got no answer from the servers."""


class ServedEngine:
    """Samples a model at ``settings.server``, one request an answer, each with its own seed.

    A chat needs no tokenizer here, and its completions have no token ids, only the server's count of them.
    Texts that are continued are split by the model's tokenizer where it is here. ``logprobs`` is empty.
    ``model_hash`` stands for the model's name, for nobody sees its weights.
    """

    name = "server"

    def __init__(
        self,
        settings: Policy,
        *,
        where: str = "policy",
        teacher: bool = False,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """Loads the tokenizer, where one is needed; no server is asked yet.

        ``where`` is what messages call ``settings``. A ``teacher`` is asked to continue texts, if its table
        does not say otherwise, and must have a tokenizer for it.

        Raises:
            UsageError: no such tokenizer here or on the hub, or no key where one is named.
        """
        if settings.server is None:
            raise UsageError(f"{where}.server: has no address")
        self._server = settings.server
        self.is_chat = (settings.server.api or ("completions" if teacher else "chat")) == "chat"
        self._key = _key(settings, where, teacher)
        self._pauses = pauses
        self.tokenizer: Any = ServerTemplate() if self.is_chat else _tokenizer(settings, where, teacher)
        self.model = settings.server.model or settings.model
        named = f"server/{self.model}@{settings.revision}"
        self.model_hash = hashlib.blake2b(named.encode(), digest_size=16).hexdigest()

    @property
    def price(self) -> tuple[float, float] | None:
        """What a million tokens of prompts and of responses cost; None where nothing says."""
        asked = self._server
        if asked.price_in is None or asked.price_out is None:
            return None
        return asked.price_in, asked.price_out

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        """Samples every request, in order.

        Raises:
            ServerUnansweredError: some got no answer, however often asked.
            UsageError: as ``stream``.
        """
        alone = [
            replace(request, n=1, seed=request.seed + i) for request in requests for i in range(request.n)
        ]
        found: dict[int, Completion] = {}
        for arrived in self.stream(alone, sampling):
            found.update(arrived)
        answers = iter(found[place] for place in range(len(alone)))
        prompts = [()] * len(requests) if self.is_chat else self._encoded(requests)
        return [
            Group(tuple(ids), tuple(next(answers) for _ in range(request.n)))
            for ids, request in zip(prompts, requests, strict=True)
        ]

    def stream(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[tuple[int, Completion]]]:
        """Samples requests of one completion each; yields what has come, with the place of its request.

        Raises:
            ServerUnansweredError: some got no answer; those of all others were yielded before.
            UsageError: a thinking budget, which servers do not take; prompts that are texts where a chat is
                asked, or empty ones; fewer than one token.
        """
        self._check(requests, sampling)
        bodies = [self._body(request, sampling) for request in requests]
        yield from self.asked("/chat/completions" if self.is_chat else "/completions", bodies, self._read)

    def prompt_logprobs(self, prompts: Sequence[Sequence[int]], top: int = 0) -> list[list[dict[int, float]]]:
        """For each prompt of token ids and each of its tokens the log-probabilities there, by token id.

        They are that of the token itself, in nats at temperature 1, and those of the ``top`` likeliest ones;
        nothing is told of a first token. vLLM servers know this (``prompt_logprobs``).

        Raises:
            ServerUnansweredError: some got no answer, or one without log-probabilities.
        """
        bodies = [
            {"model": self.model, "prompt": list(ids), "max_tokens": 1, "prompt_logprobs": top}
            for ids in prompts
        ]

        def read(answer: Any, _client: Client) -> list[dict[int, float]]:
            told = answer["choices"][0]["prompt_logprobs"]
            return [{int(id): float(one["logprob"]) for id, one in (place or {}).items()} for place in told]

        found: dict[int, list[dict[int, float]]] = {}
        for arrived in self.asked("/completions", bodies, read):
            found.update(arrived)
        for place, ids in enumerate(prompts):
            if len(found[place]) != len(ids):
                raise ServerUnansweredError(
                    f"{self._server.addresses[0]}: was sent {len(ids)} tokens but returned "
                    f"log-probabilities for {len(found[place])}"
                )
        return [found[place] for place in range(len(prompts))]

    def models(self) -> list[dict[str, Any]]:
        """What the first address says of each model that it serves; "id" is its name.

        Raises:
            ServerUnansweredError: it does not say.
        """
        with closing(self.client(self._server.addresses[0])) as client:
            try:
                return client.get("/models", lambda answer: [dict(each) for each in answer["data"]])
            except ServerError as error:
                raise ServerUnansweredError(f"{client.address}: {error}") from None

    def client(self, address: str) -> Client:
        """What asks the server at ``address``; to be closed."""
        return Client(
            address,
            self._key,
            seconds=self._server.timeout,
            pauses=self._pauses,
            most=self._server.concurrency,
        )

    def asked(
        self, path: str, bodies: Sequence[object], read: Callable[[Any, Client], T]
    ) -> Iterator[list[tuple[int, T]]]:
        """What ``read`` makes of each answer, as it comes, with the place of its body.

        Raises:
            ServerUnansweredError: some got no answer; those of all others were yielded before.
        """
        clients = [self.client(address) for address in self._server.addresses]
        failed: Counter[str] = Counter()
        with closing(Fleet(clients)) as fleet:
            for arrived in fleet.stream(path, bodies, lambda answer: read(answer, clients[0])):
                failed.update(str(answer) for _, answer in arrived if isinstance(answer, ServerError))
                yield [(place, one) for place, one in arrived if not isinstance(one, ServerError)]
        if failed:
            [(reason, _)] = failed.most_common(1)
            raise ServerUnansweredError(
                f"{', '.join(client.address for client in clients)}: {reason} ({failed.total()} of "
                f"{len(bodies)} requests got no answer); completed samples are kept, so run the same "
                "command again for the rest"
            )

    def _check(self, requests: Sequence[Request], sampling: Sampling) -> None:
        if sampling.thinking_budget is not None:
            raise UsageError(
                "thinking_budget: a server generates whole responses, so thinking cannot be cut short; "
                "load the model locally, with the transformers engine"
            )
        if sampling.max_tokens < 1:
            raise UsageError(f"max_tokens is {sampling.max_tokens}; at least 1 is needed")
        if not self.is_chat:
            self._encoded(requests)

    def _encoded(self, requests: Sequence[Request]) -> list[list[int]]:
        if not isinstance(self.tokenizer, NoTokenizer):
            return tokens.encode_prompts(self.tokenizer, requests)
        empty = [place for place, request in enumerate(requests) if not request.prompt]
        if empty:
            raise UsageError(f"prompt {empty[0]} of the requests is empty")
        return [[] for _ in requests]

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        asked = chat_of(request.prompt) if self.is_chat else {"prompt": request.prompt}
        body: dict[str, Any] = {
            "model": self.model,
            **asked,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.seed,
            "n": 1,
        }
        # Of vLLM and other servers, beyond OpenAI's own; said only where they are asked for.
        if not self.is_chat:
            body["skip_special_tokens"] = False  # tags such as <think> may be special tokens
        if sampling.top_k > 0:
            body["top_k"] = sampling.top_k
        if sampling.min_p > 0:
            body["min_p"] = sampling.min_p
        if sampling.repetition_penalty != 1:
            body["repetition_penalty"] = sampling.repetition_penalty
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        return body

    def _read(self, answer: Any, client: Client) -> Completion:
        """The completion in an answer's first choice; ``Client.post`` says what it raises without one."""
        choice = answer["choices"][0]
        if choice.get("finish_reason") in UNFINISHED:
            raise ValueError("half an answer")
        finished: FinishReason = "length" if text_of(choice["finish_reason"]) == "length" else "stop"
        usage = _usage(answer.get("usage"))
        if self.is_chat:
            return Completion(client.clean(_said(choice["message"], finished)), (), (), finished, usage)
        return self._continued(client.clean(text_of(choice["text"])), finished, usage)

    def _continued(self, said: str, finished: FinishReason, usage: Usage) -> Completion:
        if isinstance(self.tokenizer, NoTokenizer):
            return Completion(said, (), (), finished, usage)
        end = self.tokenizer.eos_token or ""
        said = said.removesuffix(end) if end else said
        ids = tuple(self.tokenizer(said, add_special_tokens=False).input_ids)
        if finished == "stop" and self.tokenizer.eos_token_id is not None:
            ids += (self.tokenizer.eos_token_id,)
        return Completion(said, ids, (), finished, usage)


def _key(settings: Policy, where: str, teacher: bool) -> str:
    """The key that the environment holds, "" where none is named.

    Raises:
        UsageError: the variable that is named is not set, or holds what no header can.
    """
    assert settings.server is not None
    name = settings.server.key_env
    key = os.environ.get(name or TEACHER_KEY, "").strip() if name or teacher else ""
    if name and not key:
        raise UsageError(f"{where}.server.key_env: the environment variable {name} is not set")
    if not key.isascii() or not key.isprintable():
        raise UsageError(
            f"the key in the environment variable {name or TEACHER_KEY} contains invalid characters"
        )
    return key


def _tokenizer(settings: Policy, where: str, teacher: bool) -> Any:
    """The tokenizer that prompts are made by; a stand-in where a template of text needs none.

    Raises:
        UsageError: it is needed and is neither here nor on the hub.
    """
    from harness.models.policy import load_tokenizer
    from harness.models.sources import config_folder

    try:
        return load_tokenizer(config_folder(settings))
    except (UsageError, JobError) as error:
        if not teacher and _is_text(settings.template):
            return NoTokenizer()
        others = "" if teacher else ", a template of text (plain, tags, r1-zero), or a chat"
        raise UsageError(
            f"{where}.model: prompts need the tokenizer of {settings.model}, a folder or hub id{others}: "
            f"{error}"
        ) from None


def _is_text(template: str | Template) -> bool:
    found = None if template == templates.AUTO else templates.find(template)
    return isinstance(found, Template) and found.kind == "text"


def _said(message: Any, finished: FinishReason) -> str:
    """A chat's response, its reasoning in <think> where the server tells it apart."""
    content = message.get("content")
    content = "" if content is None else text_of(content)
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    if not text_of(reasoning) or THINK_OPENS in content or THINK_CLOSES in content:
        return content
    closed = THINK_CLOSES if content or finished == "stop" else ""
    return f"{THINK_OPENS}{reasoning}{closed}{content}"


def _usage(told: Any) -> Usage:
    """What a server counted; what is not a number of tokens is not known."""
    counts = told if isinstance(told, dict) else {}
    return Usage(_count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")))


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None
