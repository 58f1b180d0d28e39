"""One HTTP client for every model that answers from elsewhere: a judge, a teacher, a model that is measured.

The other side is not trusted. A request has a deadline for all of its tries together, whatever trickles in;
an answer has a largest size, after decompression; redirects are not followed, since they would carry the key
elsewhere; and the key is masked in whatever the server says. A request that fails costs only itself, unless
so many fail in a row that the server must be taken to be down: then the others do not wait for the same.

httpx bounds each read but not their sum, so requests run as coroutines under ``asyncio.timeout``, on one
background loop, and are called from any thread.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from httpx import codes

from evals.base.flow import MOST, Flow
from evals.base.secrets import mask

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line for each request

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries, where the server does not say how long to wait."""
LARGEST = 64 * 2**20
"""Bytes of an answer at most."""
IN_A_ROW = 8
"""Failed requests without a success among them, after which the server is taken to be down."""
SHOWN = 200
"""Characters of a refusal's text that are passed on."""

T = TypeVar("T")
R = TypeVar("R")


class ServerError(Exception):
    """The server gave no usable answer to one request; the message is a clause that says why."""


class _RetryError(Exception):
    """A try that failed in a way that may pass; ``wait`` is how many seconds the server asks for.

    ``full``: it has too many requests already.
    """

    def __init__(self, reason: str, wait: float | None = None, full: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.full = wait, full


class Client:
    """Posts JSON to one address, from any number of threads."""

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        seconds: float,
        pauses: Sequence[float] = PAUSES,
        largest: int = LARGEST,
        most: int = MOST,
    ) -> None:
        """``seconds``: the deadline of a request with all its tries. ``key``: a bearer token, or "".

        ``most``: requests in flight at once; fewer where the server says that it has too many.

        Raises:
            ValueError: ``url`` is not an http address; the message is a clause that says so.
        """
        check_address(url)
        self._url, self._key = url.rstrip("/"), key
        self._seconds, self._pauses, self._largest = seconds, tuple(pauses), largest
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Reads are bounded by the deadline as a whole; only connecting has a bound of its own.
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=30.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=most),
            follow_redirects=False,
        )
        self._flow = Flow(most)
        self._failed = 0
        self._down = ""
        self._told = False

    @property
    def address(self) -> str:
        """The address as it may be shown."""
        return mask(self._url)

    @property
    def room(self) -> int:
        """Requests that the server bears at once, as far as it has shown."""
        return self._flow.limit

    @property
    def down(self) -> str:
        """Why the server is not asked any more; "" while it is."""
        return self._down

    def forgive(self) -> None:
        """Lets a server that was taken to be down be asked again."""
        self._failed, self._down = 0, ""

    def post(self, path: str, body: object, parse: Callable[[Any], T]) -> T:
        """``parse`` of the JSON that the server answers to ``body`` at ``path``.

        ``parse`` raises ValueError, KeyError, IndexError or TypeError on what it cannot read.

        Raises:
            ServerError: there is no such answer, however often it was asked for.
        """
        return _run(self.answer(path, body, parse))

    def get(self, path: str, parse: Callable[[Any], T]) -> T:
        """As ``post``, with nothing to tell the server.

        Raises:
            ServerError: as ``post``.
        """
        return _run(self._ask(path, None, parse))

    async def answer(self, path: str, body: object, parse: Callable[[Any], T]) -> T:
        """``post`` for what runs in the background loop itself (``start``)."""
        # Half a character, which a byte-level model can write, has no encoding: it goes as "?".
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        return await self._ask(path, content, parse)

    def close(self) -> None:
        """Closes the connections."""
        _run(self._client.aclose())

    def clean(self, text: str) -> str:
        """``text`` without the key, and with half characters replaced."""
        text = text.replace(self._key, "***") if self._key else text
        return text.encode("utf-8", "replace").decode("utf-8")

    async def _ask(self, path: str, content: bytes | None, parse: Callable[[Any], T]) -> T:
        """``content``: what is posted; None where the address is only read."""
        deadline = time.monotonic() + self._seconds
        reason = f"did not answer within {self._seconds:g} s"
        for pause in (*self._pauses, None):
            asked = time.monotonic()
            entered = await self._flow.enter()
            deadline += time.monotonic() - asked  # waiting for room is not the server's delay
            full = False
            try:
                if self._down:
                    raise ServerError(self._down)
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    value = await self._try(path, content, parse)
                self._failed = 0
                self._flow.faster()
                return value
            except TimeoutError:
                reason = f"did not answer within {self._seconds:g} s"
                break
            except _RetryError as error:
                reason, wait, full = str(error), error.wait, error.full
            except httpx.RequestError as error:
                reason, wait = f"does not answer ({type(error).__name__})", None
            finally:
                await self._flow.leave()
            left = deadline - time.monotonic()
            wait = pause if wait is None or pause is None else wait
            if wait is None:
                break
            if wait > left:
                reason += f" and asks to wait {wait:.0f} s" if wait != pause else ""
                break
            if full:
                self._flow.slower(entered, wait)
            else:
                self._tell_of(reason)
            await asyncio.sleep(wait)
        self._failed += 1
        if self._failed >= IN_A_ROW:
            self._down = f"{reason}; {self._failed} requests in a row had no answer"
        raise ServerError(reason)

    def _tell_of(self, reason: str) -> None:
        """Says once that requests are tried again: it may take minutes until one is given up."""
        if not self._told:
            self._told = True
            log.warning("%s %s; trying again", self.address, reason)

    async def _try(self, path: str, content: bytes | None, parse: Callable[[Any], T]) -> T:
        method, headers = ("GET", {}) if content is None else ("POST", {"Content-Type": "application/json"})
        async with self._client.stream(
            method, f"{self._url}{path}", content=content, headers=headers
        ) as answer:
            self._refuse_early(answer)
            body = await self._read(answer)
        if answer.is_error:
            said = one_line(self.clean(body.decode("utf-8", "replace")))[:SHOWN]
            reason = f"refuses with status {answer.status_code}: {said}"
            # Other errors are about this request (a prompt that is too long): others may fare better.
            if answer.status_code in (401, 402, 403, 404):
                self._down = reason
            raise ServerError(reason)
        try:
            return parse(json.loads(body))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise _RetryError("does not answer as an OpenAI-compatible server does") from None

    def _refuse_early(self, answer: httpx.Response) -> None:
        if answer.status_code == codes.TOO_MANY_REQUESTS or answer.is_server_error:
            wait = _seconds_to_wait(answer.headers.get("Retry-After", ""))
            full = answer.status_code in (codes.TOO_MANY_REQUESTS, codes.SERVICE_UNAVAILABLE)
            raise _RetryError(f"answers with status {answer.status_code}", wait, full)
        if answer.is_redirect:
            host = one_line(_host(answer.headers.get("Location", "")))[:SHOWN]
            raise ServerError(f"redirects to {host}, which is not followed; name that address")

    async def _read(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > self._largest:
                raise ServerError(f"answers with more than {self._largest / 2**20:.3g} MiB")
        return bytes(body)


def _host(url: str) -> str:
    """Host and port of an address, without a user or password."""
    try:
        parts = urlsplit(url)
        named = parts.hostname or "another address"
        return named if parts.port is None else f"{named}:{parts.port}"
    except ValueError:
        return "another address"


def check_address(url: str) -> None:
    """Refuses what is not the address of a server.

    Raises:
        ValueError: the message is a clause that says what is wrong.
    """
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError(f"{mask(url)!r} has a port that is not a number from 1 to 65535") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_right:
        raise ValueError(f"{mask(url)!r} is not an address such as http://localhost:8000/v1")


def one_line(text: str) -> str:
    """``text`` without control characters, white space folded to single blanks."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def text_of(value: object) -> str:
    """``value``, which must be text.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _seconds_to_wait(value: str) -> float | None:
    """What a Retry-After header asks for: seconds, or a date; None where it says neither."""
    try:
        return max(0.0, float(value)) if value.strip().isdigit() else _until(parsedate_to_datetime(value))
    except (ValueError, TypeError):
        return None


def _until(when: datetime) -> float:
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def start(work: Coroutine[Any, Any, R]) -> Future[R]:
    """Runs ``work`` in the background loop, where every client's requests run."""
    return asyncio.run_coroutine_threadsafe(work, _loop())


def _run(work: Coroutine[Any, Any, R]) -> R:
    future = start(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """The background loop; its thread ends with the process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="http", daemon=True).start()
    return loop
