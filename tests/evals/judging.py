"""A judge for tests: a real HTTP server that speaks as an OpenAI-compatible one does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

Choice = dict[str, Any]


@contextmanager
def judge_server(
    reply: Callable[[dict[str, Any]], Choice | int], usage: dict[str, Any] | None = None
) -> Iterator[str]:
    """Serves ``reply(body)``, a choice or an HTTP status, at the address that it yields."""
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                found = reply(body)
            said = {"choices": [found], "usage": usage} if isinstance(found, dict) else {"error": "no"}
            answer = json.dumps(said).encode()
            self.send_response(200 if isinstance(found, dict) else found)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}/v1"
        http.shutdown()


def says(text: str, **probabilities: float) -> Choice:
    """A choice that says ``text``; the keywords are log probabilities of first tokens."""
    choice: Choice = {"message": {"role": "assistant", "content": text}}
    if probabilities:
        top = [{"token": token, "logprob": value} for token, value in probabilities.items()]
        choice["logprobs"] = {"content": [{"token": text, "top_logprobs": top}]}
    return choice
