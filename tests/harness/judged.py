"""A judge at an OpenAI-compatible address: a real HTTP server with opinions of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

USAGE = {"prompt_tokens": 1000, "completion_tokens": 10}


@dataclass
class Judged:
    """What a judge was asked; ``status`` is the HTTP status that it answers with."""

    asked: list[str] = field(default_factory=list)
    status: int = 200
    lock: Lock = field(default_factory=Lock)


@contextmanager
def serve() -> Iterator[tuple[str, Judged]]:
    """The server's address, and what happens there.

    It scores by the number of exclamation marks, prefers more of them, and says nothing about "nonsense".
    """
    state = Judged()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["messages"][0]["content"]
            with state.lock:
                state.asked.append(prompt)
            said = {"choices": [{"message": {"content": _reply(prompt)}}], "usage": USAGE}
            answer = json.dumps(said).encode()
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}/v1", state
        http.shutdown()


def _reply(prompt: str) -> str:
    shown = re.findall(r"<response(?:-\d)?>\n(.*?)\n</response", prompt, re.DOTALL)
    if any("nonsense" in each for each in shown):
        return "Well."
    marks = [each.count("!") for each in shown]
    if len(marks) == 1:
        return f"It is.\nSCORE: {min(10, marks[0])}"
    first, second = marks
    return "They are.\nBETTER: " + ("NEITHER" if first == second else "1" if first > second else "2")
