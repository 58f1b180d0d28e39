"""Orders to a vLLM server that samples a policy in training: is it up, how many workers, new weights."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from evals.base.errors import JobError, UsageError

SOON = 10.0
"""Seconds for an answer that nobody depends on."""
SHOWN = 300
"""Characters of what a server says that are passed on."""

T = TypeVar("T")


class Control:
    """The server at one address."""

    def __init__(self, address: str, seconds: float) -> None:
        """``seconds``: how long an order may take."""
        self.address = address
        self._client = httpx.Client(base_url=address, timeout=httpx.Timeout(seconds, connect=30.0))

    def wait(self, seconds: float, ended: Callable[[], str | None] = lambda: None) -> None:
        """Returns when the server answers; ``ended`` says why it never will, if that is so.

        Raises:
            JobError: it does not, in ``seconds``.
            UsageError: what answers is another program.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            why = ended()
            if why is not None:
                raise JobError(why)
            try:
                answer = self._client.get("/health", timeout=10.0)
            except httpx.TransportError:
                pass
            else:
                if answer.is_success:
                    return
                if answer.status_code == httpx.codes.NOT_FOUND or answer.is_redirect:
                    raise UsageError(
                        f"policy.servers: {self.address} is not a vLLM server: it has no /health"
                    )
            time.sleep(0.5)
        raise JobError(f"policy.servers: {self.address} did not answer within {seconds:.0f} s")

    def workers(self) -> int:
        """How many processes hold (parts of) the weights.

        Raises:
            UsageError: the server takes no such orders.
        """
        return self._told("GET", "/get_world_size", lambda answer: int(answer["world_size"]))

    def served(self) -> str:
        """The name by which the model is asked.

        Raises:
            UsageError: the server is not one of vLLM's.
        """
        return self._told("GET", "/v1/models", lambda answer: str(answer["data"][0]["id"]))

    def pause(self) -> None:
        """Lets completions that have begun stand still where they are; new ones wait.

        Raises:
            JobError: as ``order``.
        """
        self.order("/pause?mode=keep")

    def resume(self, version: int) -> None:
        """Goes on, under weights of that number. Keys and values of the old ones are forgotten: completions
        that had begun are read anew.

        Raises:
            JobError: as ``order``, or the server keeps what the old weights computed.
        """
        self.order("/update_weight_version", {"new_version": str(version)})
        path = "/reset_prefix_cache?reset_running_requests=true"
        if not self._told("POST", path, lambda answer: bool(answer["success"])):
            raise JobError(
                f"policy.servers: {self.address} did not clear the cache computed with the old weights"
            )
        self.order("/resume")

    def let_go(self) -> None:
        """Asks a server that may have stopped half-way to go on, for whoever uses it next."""
        with contextlib.suppress(httpx.HTTPError):
            self._client.post("/resume", timeout=SOON)

    def order(self, path: str, body: dict[str, Any] | None = None) -> None:
        """Posts ``body``; returns when the server has done it.

        Raises:
            JobError: it refuses, or does not answer.
        """
        self._ask("POST", path, body)

    def _told(self, method: str, path: str, read: Callable[[Any], T]) -> T:
        """What ``read`` makes of the JSON that the server answers."""
        answer = self._ask(method, path)
        try:
            return read(answer.json())
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            said = " ".join(answer.text.split())[:SHOWN]
            raise UsageError(
                f"policy.servers: {self.address} is not a vLLM server: it answers {path} with {said!r}"
            ) from None

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise JobError(
                f"policy.servers: {self.address} does not answer {path} ({type(error).__name__}); run the "
                "same command again to resume from the last checkpoint"
            ) from None
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise UsageError(
                f"policy.servers: {self.address} has no {path}: to receive new weights, a vLLM server "
                "must be started with VLLM_SERVER_DEV_MODE=1, --weight-transfer-config and "
                "--enable-scale-out"
            )
        if answer.is_error:
            said = " ".join(answer.text.split())[:SHOWN]
            raise JobError(
                f"policy.servers: {self.address} rejected {path} with status {answer.status_code}: {said}"
            )
        return answer

    def close(self) -> None:
        self._client.close()
