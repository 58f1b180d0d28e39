"""What answers at an address of ``policy.servers`` and is not a vLLM server is told so, in one sentence."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from evals.base.errors import UsageError
from harness.engines.servers.control import Control


class Web(BaseHTTPRequestHandler):
    """A site with a page for every address but /health, or for that one too."""

    healthy = True

    def do_GET(self) -> None:
        found = self.healthy or self.path != "/health"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(b"<html>Sign in</html>")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_page_is_not_an_answer_of_vllm(address: str) -> None:
    with closing(Control(address, 5.0)) as control:
        control.wait(5.0)
        for ask in (control.workers, control.served):
            with pytest.raises(UsageError, match=r"is not a vLLM server: it answers /.* with '<html>Sign in"):
                ask()


def test_another_program_is_not_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Web, "healthy", False)
    with (
        closing(Control(address, 5.0)) as control,
        pytest.raises(UsageError, match="is not a vLLM server: it has no /health"),
    ):
        control.wait(600.0)
