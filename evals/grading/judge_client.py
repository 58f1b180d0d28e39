"""Talks to a language model at an OpenAI-compatible address (any vLLM server is one).

    HARNESS_JUDGE_URL    the address up to /v1, such as http://localhost:8000/v1
    HARNESS_JUDGE_MODEL  the model's name there
    HARNESS_JUDGE_KEY    a key, where the address wants one

A judge that does not answer is asked again with growing pauses. Once it stayed silent through all of them,
or refused the key or the model's name, the client's other callers are not made to wait for the same.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import httpx

from evals.tasks.task import TaskError

logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line for each request

PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds between tries
TIMEOUT = 120.0

Message = Mapping[str, str]


@dataclass(frozen=True)
class Judge:
    """Who judges: the address up to /v1, the model's name there, and a key or ""."""

    url: str
    model: str
    key: str = ""

    @classmethod
    def from_environment(cls) -> Judge:
        """The judge that the HARNESS_JUDGE variables name.

        Raises:
            TaskError: they name none.
        """
        url, model = os.environ.get("HARNESS_JUDGE_URL", ""), os.environ.get("HARNESS_JUDGE_MODEL", "")
        if not url.startswith(("http://", "https://")) or not model:
            raise TaskError(
                "this benchmark is graded by a language model: set HARNESS_JUDGE_URL to an OpenAI-compatible "
                "address such as http://localhost:8000/v1, and HARNESS_JUDGE_MODEL to the model's name there"
            )
        return cls(url.rstrip("/"), model, os.environ.get("HARNESS_JUDGE_KEY", ""))


class JudgeError(Exception):
    """The judge gave no reply to one request; the message is a clause that says why."""


class JudgeClient:
    """Asks a ``Judge``, from any number of threads."""

    def __init__(self, judge: Judge, pauses: Sequence[float] = PAUSES) -> None:
        self._judge = judge
        self._pauses = pauses
        headers = {"Authorization": f"Bearer {judge.key}"} if judge.key else {}
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT)
        self._down = Event()

    def forgive(self) -> None:
        """Lets a judge that was given up be asked again."""
        self._down.clear()

    def choice(self, messages: Sequence[Message], **options: Any) -> Mapping[str, Any]:
        """The first choice of the judge's reply, at temperature 0, with its "text" (never None).

        ``options`` go into the request as they are: max_tokens, logprobs, …

        Raises:
            JudgeError: there is no reply, however often it was asked for.
        """
        body = {"model": self._judge.model, "messages": list(messages), "temperature": 0, **options}
        reason = "did not answer earlier"
        for pause in (*self._pauses, None):
            if self._down.is_set():
                break
            try:
                answer = self._client.post(f"{self._judge.url}/chat/completions", json=body)
                if answer.status_code != httpx.codes.TOO_MANY_REQUESTS and not answer.is_server_error:
                    return self._first_choice(answer)
                reason = f"answers with status {answer.status_code}"
            except httpx.TransportError as error:
                reason = f"does not answer ({type(error).__name__})"
            if pause is not None:
                time.sleep(pause)
        self._down.set()
        raise JudgeError(reason)

    def close(self) -> None:
        self._client.close()

    def _first_choice(self, answer: httpx.Response) -> Mapping[str, Any]:
        if answer.is_error:
            # 400 and its like are about this request (a prompt that is too long): others may fare better.
            if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND):
                self._down.set()
            raise JudgeError(f"refuses with status {answer.status_code}: {answer.text[:200]}")
        try:
            first = answer.json()["choices"][0]
            return {**first, "text": str(first["message"]["content"] or "")}
        except (ValueError, KeyError, IndexError, TypeError):
            self._down.set()
            raise JudgeError("answers, but not as an OpenAI-compatible server does") from None
