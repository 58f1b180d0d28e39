"""Talks to a language model at an OpenAI-compatible address (any vLLM server is one).

HARNESS_JUDGE_URL    the address up to /v1: http://localhost:8000/v1; several, with commas, share the work
HARNESS_JUDGE_MODEL  the model's name there
HARNESS_JUDGE_KEY    a key, where the address wants one
HARNESS_JUDGE_PRICE  what a million tokens of prompts and of replies cost, such as 0.5,1.5
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.base.http import PAUSES, Client, ServerError, check_address, text_of
from evals.task import TaskError

TIMEOUT = 300.0
"""Seconds for one request with all its tries."""

MOST_ALTERNATIVES = 20
"""Alternatives of a token that are read at most."""
MOST_TOKENS = 2**31
"""What a server counts beyond this is not a number of tokens."""

Message = Mapping[str, str]


@dataclass(frozen=True)
class Judge:
    """Who judges: the address up to /v1 (or several, with commas), the model's name there, a key or "", and
    the price of a million tokens of prompts and of replies, where it is known."""

    url: str
    model: str
    key: str = field(default="", repr=False)
    price: tuple[float, float] | None = None

    @property
    def addresses(self) -> list[str]:
        """Each on its own."""
        return [each.strip().rstrip("/") for each in self.url.split(",")]

    @classmethod
    def from_environment(cls) -> Judge:
        """The judge that the HARNESS_JUDGE variables name.

        Raises:
            TaskError: they name none.
        """
        url, model = os.environ.get("HARNESS_JUDGE_URL", ""), os.environ.get("HARNESS_JUDGE_MODEL", "")
        if not url or not model:
            raise TaskError(
                "this benchmark is graded by a language model: set HARNESS_JUDGE_URL to an OpenAI-compatible "
                "address such as http://localhost:8000/v1, and HARNESS_JUDGE_MODEL to the model's name there"
            )
        key, price = os.environ.get("HARNESS_JUDGE_KEY", ""), os.environ.get("HARNESS_JUDGE_PRICE", "")
        judge = cls(url.rstrip("/"), model, key, _price(price) if price else None)
        try:
            for each in judge.addresses:
                check_address(each)
        except ValueError as error:
            raise TaskError(f"HARNESS_JUDGE_URL: {error}") from None
        return judge


def _price(text: str) -> tuple[float, float]:
    try:
        prompts, replies = (float(each) for each in text.split(","))
    except ValueError:
        prompts = replies = math.nan
    if not (0 <= prompts < math.inf and 0 <= replies < math.inf):
        raise TaskError(
            f"HARNESS_JUDGE_PRICE: {text!r} is not two numbers with a comma between, such as 0.5,1.5"
        )
    return prompts, replies


class JudgeError(Exception):
    """The judge gave no reply, or none that can be used; the message is a clause that says why."""


class NoVerdictError(JudgeError):
    """There are replies, and no verdict in them."""


@dataclass(frozen=True)
class Reply:
    """What the judge said; ``likeliest``: the first token's alternatives and their natural-log
    probabilities, where they were asked for and given.

    ``prompt_tokens`` and ``tokens`` (the reply's) are the server's count; None where it does not say.
    """

    text: str
    likeliest: tuple[tuple[str, float], ...] = ()
    prompt_tokens: int | None = None
    tokens: int | None = None


class JudgeClient:
    """Asks a ``Judge``, from any number of threads."""

    def __init__(self, judge: Judge, pauses: Sequence[float] = PAUSES, seconds: float = TIMEOUT) -> None:
        self.model = judge.model
        self._clients = [Client(each, judge.key, seconds=seconds, pauses=pauses) for each in judge.addresses]
        self._turns = itertools.count()

    def forgive(self) -> None:
        """Lets a judge that was given up be asked again."""
        for client in self._clients:
            client.forgive()

    def ask(self, messages: Sequence[Message], **options: Any) -> Reply:
        """The judge's reply, at temperature 0.

        ``options`` go into the request as they are: max_tokens, logprobs, … What one address does not
        answer, another is asked once more.

        Raises:
            JudgeError: there is no reply, however often it was asked for.
        """
        body = {"model": self.model, "messages": list(messages), "temperature": 0, **options}
        first, *others = self._in_turn()
        try:
            return first.post("/chat/completions", body, self._reply)
        except ServerError as error:
            if not others or others[0].down:
                raise JudgeError(str(error)) from None
        try:
            return others[0].post("/chat/completions", body, self._reply)
        except ServerError as error:
            raise JudgeError(str(error)) from None

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def _in_turn(self) -> list[Client]:
        """The addresses from the next one on, those that are down last."""
        at = next(self._turns) % len(self._clients)
        return sorted([*self._clients[at:], *self._clients[:at]], key=lambda client: bool(client.down))

    def _reply(self, answer: Any) -> Reply:
        choice = answer["choices"][0]
        said = choice["message"]["content"]
        # null is what a server says that spent the whole reply on reasoning.
        text = self._clients[0].clean("" if said is None else text_of(said))
        told = answer.get("usage")
        usage = told if isinstance(told, dict) else {}
        prompt, reply = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
        return Reply(text, self._likeliest(choice.get("logprobs")), prompt, reply)

    def _likeliest(self, logprobs: Any) -> tuple[tuple[str, float], ...]:
        try:
            told = logprobs["content"][0]["top_logprobs"][:MOST_ALTERNATIVES]
            return tuple(
                (self._clients[0].clean(text_of(each["token"])), float(each["logprob"])) for each in told
            )
        except (KeyError, IndexError, TypeError, ValueError, OverflowError):
            return ()


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None
