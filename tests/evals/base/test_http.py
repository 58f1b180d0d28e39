"""The HTTP client against a server that misbehaves in every way, over real sockets."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from evals.base import http
from evals.base.http import Client, ServerError

KEY = "sk-very-secret"
GOOD = json.dumps({"text": "fine"}).encode()


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def server(*answers: bytes | Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """Gives each connection the next answer, the last one for ever; yields its address and the requests."""
    seen: list[bytes] = []
    closing = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket, answer: bytes | Callable[[socket.socket], None]) -> None:
        with connection:
            connection.settimeout(5)
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            head, _, body = request.partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(65536)
            seen.append(head + b"\r\n\r\n" + body)
            try:
                if isinstance(answer, bytes):
                    connection.sendall(answer)
                else:
                    answer(connection)
            except OSError:
                pass  # the client hung up, as it should

    def accept() -> None:
        turn = 0
        while not closing.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            answer = answers[min(turn, len(answers) - 1)]
            turn += 1
            threading.Thread(target=serve, args=(connection, answer), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", seen
    finally:
        closing.set()
        listener.close()


def ask(url: str, *, seconds: float = 5.0, pauses: tuple[float, ...] = (0.01,), largest: int = 2**20) -> str:
    client = Client(url, KEY, seconds=seconds, pauses=pauses, largest=largest)
    try:
        return client.post("/x", {"prompt": "p"}, lambda answer: client.clean(http.text_of(answer["text"])))
    finally:
        client.close()


def test_a_good_answer_is_parsed_and_the_request_is_json_with_the_key() -> None:
    with server(reply(GOOD)) as (url, seen):
        assert ask(url) == "fine"
    [request] = seen
    assert request.startswith(b"POST /v1/x HTTP/1.1\r\n")
    assert f"authorization: bearer {KEY}".encode() in request.lower()
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == {"prompt": "p"}


def _trickle(head: bytes, byte: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(200):
            connection.sendall(byte)
            time.sleep(0.05)

    return answer


ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda connection: time.sleep(8), id="says nothing"),
        pytest.param(_trickle(b"HTTP/1.1 200 OK\r\nX: ", b"x"), id="a byte of a header at a time"),
        pytest.param(_trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" "), id="of the body"),
    ],
)
def test_the_deadline_holds_whatever_trickles_in(answer: Callable[[socket.socket], None]) -> None:
    with server(answer) as (url, _):
        began = time.monotonic()
        with pytest.raises(ServerError, match=r"did not answer within 0\.5 s"):
            ask(url, seconds=0.5)
        assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(b" " * (2**20 + 1)), id="long"),
        pytest.param(_trickle(ENDLESS, b"10000\r\n" + b" " * 65536 + b"\r\n"), id="endless"),
        pytest.param(
            reply(gzip.compress(b" " * 2**26), "200 OK", "Content-Encoding: gzip"), id="a bomb of gzip"
        ),
    ],
)
def test_a_body_beyond_the_limit_is_not_read(answer: bytes | Callable[[socket.socket], None]) -> None:
    with server(answer) as (url, _), pytest.raises(ServerError, match="answers with more than 1 MiB"):
        ask(url)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[null]",
        b'{"text": null}',
        b'{"text": 4}',
        b'{"other": "x"}',
        b"[" * 100_000,
        b'{"text": "half an ans',
        b"<html>a proxy</html>",
        b"\xff\xfe",
    ],
)
def test_what_is_not_an_answer_is_said_in_a_clause_and_asked_for_again(body: bytes) -> None:
    with server(reply(body)) as (url, seen):
        with pytest.raises(ServerError, match="does not answer as an OpenAI-compatible server does"):
            ask(url)
        assert len(seen) == 2
    with server(reply(body), reply(GOOD)) as (url, _):
        assert ask(url) == "fine"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(reply(b"not gzip", "200 OK", "Content-Encoding: gzip"), id="damaged gzip"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", id="half an answer"),
        pytest.param(b"", id="hangs up"),
        pytest.param(b"220 mail.example ESMTP\r\n", id="another protocol"),
        pytest.param(reply(b"", "503 Busy"), id="busy"),
        pytest.param(reply(b"", "429 Too Many", "Retry-After: 0"), id="too many"),
    ],
)
def test_a_fault_that_may_pass_is_tried_again(bad: bytes) -> None:
    with server(bad, reply(GOOD)) as (url, seen):
        assert ask(url) == "fine"
        assert len(seen) == 2
    with server(bad) as (url, seen):
        with pytest.raises(ServerError):
            ask(url)
        assert len(seen) == 2


def test_that_it_tries_again_is_said_once_and_not_where_a_server_is_only_busy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for bad, told in ((b"", 1), (reply(b"", "429 Too Many", "Retry-After: 0"), 0)):
        caplog.clear()
        with server(bad) as (url, _):
            client = Client(url.replace("//", f"//user:{KEY}@"), seconds=5, pauses=(0.01,))
            for _ in range(2):
                with pytest.raises(ServerError):
                    client.post("/x", {}, lambda answer: answer)
            client.close()
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == told
        assert all("trying again" in line and KEY not in line for line in lines)


def test_retry_after_is_obeyed_in_seconds_and_as_a_date() -> None:
    for date, least in ((False, 0.9), (True, 0.5)):
        wait = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if date else "1"
        with server(reply(b"", "429 Too Many", f"Retry-After: {wait}"), reply(GOOD)) as (url, _):
            began = time.monotonic()
            assert ask(url) == "fine"
            assert time.monotonic() - began > least
    with (
        server(reply(b"", "429 Too Many", "Retry-After: 3600")) as (url, seen),
        pytest.raises(ServerError, match="429 and asks to wait 3600 s"),
    ):
        ask(url)
    assert len(seen) == 1


def test_half_characters_go_and_come_as_replacements() -> None:
    with server(reply(b'{"text": "a\\ud83dz"}')) as (url, seen):
        client = Client(url, seconds=5)
        said = client.post("/x", {"prompt": "b\ud83d"}, lambda answer: client.clean(answer["text"]))
        client.close()
    assert said == "a?z"
    said.encode()
    assert json.loads(seen[0].partition(b"\r\n\r\n")[2]) == {"prompt": "b?"}


def test_the_key_is_in_nothing_that_comes_back_and_goes_nowhere_else() -> None:
    with server(reply(json.dumps({"text": f"you sent Bearer {KEY}"}).encode())) as (url, _):
        assert ask(url) == "you sent Bearer ***"
    with (
        server(reply(f"bad key {KEY}\x1b[31m\n".encode(), "400 Bad")) as (url, _),
        pytest.raises(ServerError, match=r"^refuses with status 400: bad key \*\*\* \[31m$"),
    ):
        ask(url)
    with (
        server(reply(GOOD)) as (other, stolen),
        server(reply(b"", "307 Moved", f"Location: {other}/x")) as (
            url,
            _,
        ),
    ):
        with pytest.raises(ServerError, match=r"redirects to 127\.0\.0\.1:\d+, which is not followed"):
            ask(url)
        assert not stolen


def test_one_failed_request_costs_only_itself_and_many_in_a_row_end_the_waiting() -> None:
    with server(reply(b"too long", "400 Bad"), reply(GOOD)) as (url, _):
        client = Client(url, seconds=5, pauses=())
        with pytest.raises(ServerError):
            client.post("/x", {}, lambda answer: answer["text"])
        assert client.post("/x", {}, lambda answer: answer["text"]) == "fine"
        client.close()
    with server(reply(b"", "500 Broken")) as (url, seen):
        client = Client(url, seconds=5, pauses=())

        def one(_: int) -> str:
            with pytest.raises(ServerError) as raised:
                client.post("/x", {}, lambda answer: answer["text"])
            return str(raised.value)

        said = [one(i) for i in range(http.IN_A_ROW + 5)]
        assert len(seen) == http.IN_A_ROW
        assert f"{http.IN_A_ROW} requests in a row had no answer" in said[-1]
        client.forgive()
        one(0)
        assert len(seen) == http.IN_A_ROW + 1
        client.close()


def test_a_refused_key_ends_the_waiting_at_once() -> None:
    with server(reply(b"who are you", "401 No")) as (url, seen):
        client = Client(url, seconds=5)
        for _ in range(3):
            with pytest.raises(ServerError, match="refuses with status 401: who are you"):
                client.post("/x", {}, lambda answer: answer)
        assert len(seen) == 1
        client.close()


def test_many_threads_share_a_client() -> None:
    with server(reply(GOOD)) as (url, seen):
        client = Client(url, seconds=20)
        with ThreadPoolExecutor(16) as pool:
            said: list[Any] = list(pool.map(lambda _: client.post("/x", {}, lambda a: a["text"]), range(40)))
        client.close()
    assert said == ["fine"] * 40
    assert len(seen) == 40


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost", "not an address"),
        ("ftp://x/v1", "not an address"),
        ("http://", "not an address"),
        ("http://user:pw@host:99999/v1", "has a port that is not a number"),
        ("http://user:pw@host:port/v1", "has a port that is not a number"),
        ("http://user:pw/pw@host/v1", "has a port that is not a number"),
        ("ftp://user:p@pw/pw@host/v1", "is not an address"),
    ],
)
def test_addresses_are_checked_and_shown_without_passwords(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        Client(url, seconds=1)
    assert "pw" not in str(raised.value)
