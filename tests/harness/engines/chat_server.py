"""A chat server on a loopback port that adds numbers, and misbehaves when told to."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass
class Answer:
    """What goes back: ``content`` as JSON, or ``raw`` bytes; ``cut`` sends half of it."""

    content: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: bool = False
    hang: bool = False


def completion(text: str | None, finish: str | None = "stop", **message: Any) -> Body:
    """The body of a chat's answer."""
    return {
        "choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }


def total(body: Body) -> Answer:
    """The sum of the numbers in the last message, boxed."""
    asked = body["messages"][-1]["content"]
    numbers = re.findall(r"\d+", asked.splitlines()[0])
    return Answer(completion(f"It is \\boxed{{{sum(map(int, numbers))}}}."))


@dataclass
class ChatServer:
    """What the server was asked, and how it answers."""

    address: str = ""
    asked: list[Body] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    answer: Callable[[Body, int], Answer] = lambda body, _turn: total(body)
    """(body, requests before it) -> what goes back."""
    models: Body = field(default_factory=lambda: {"data": []})
    """What /models answers."""
    in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A server until the block ends."""
    state = ChatServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(Answer(state.models))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                turn = len(state.asked)
                state.asked.append(body)
                state.keys.add(self.headers.get("Authorization"))
                state.paths.add(self.path)
                state.in_flight += 1
                state.most_in_flight = max(state.most_in_flight, state.in_flight)
            try:
                self._send(state.answer(body, turn))
            except OSError:
                pass  # the client hung up or was killed
            finally:
                with state.lock:
                    state.in_flight -= 1

        def _send(self, answer: Answer) -> None:
            if answer.hang:
                state.closing.wait(60)
                return
            data = json.dumps(answer.content).encode() if answer.raw is None else answer.raw
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if answer.cut else data)
            self.close_connection = answer.cut

        def log_message(self, *_args: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    with Server(("127.0.0.1", 0), Handler) as http:
        state.address = f"http://127.0.0.1:{http.server_address[1]}/v1"
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield state
        finally:
            state.closing.set()
            http.shutdown()
