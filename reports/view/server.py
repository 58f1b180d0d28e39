"""The server: loopback only, reading only, and for no other site.

A page of another site that makes its own name point here (DNS rebinding) is refused by the Host header; one
that merely asks cannot read the answer. Nothing outside the root is readable, whatever a path says and
wherever a link leads, and of what is inside only the pages made of it and a report.html, in a sandbox.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from evals.base.errors import UsageError, first_line
from evals.base.text import printable
from reports.view.dress import header_policy, render
from reports.view.links import ServedLinks
from reports.view.pages import Pages
from reports.view.places import OutsideError

log = logging.getLogger(__name__)
ADDRESS = "127.0.0.1"
PORT = 8765
LOCAL = {"127.0.0.1", "localhost", "[::1]"}
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a report may do: it is a file of the folder, and whoever wrote that may have written anything."""


class Server(ThreadingHTTPServer):
    """Serves the pages about ``root``."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, root: Path, port: int) -> None:
        self.pages = Pages(root, ServedLinks())
        self.policy = header_policy()
        super().__init__((ADDRESS, port), Handler)

    @property
    def url(self) -> str:
        """Where it is to be found."""
        return f"http://{ADDRESS}:{self.server_port}/"


def start(root: Path, port: int | None = None) -> Server:
    """A server for ``root``, bound and not yet serving; without ``port`` at ``PORT`` or any that is free.

    Raises:
        UsageError: there is no such folder, or the port is taken.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder")
    for wanted in (PORT, 0) if port is None else (port,):
        try:
            return Server(root, wanted)
        except OSError as error:
            taken = error
    raise UsageError(f"--port {port}: cannot be used: {taken.strerror}")


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 60
    server_version = "harness"
    sys_version = ""

    def do_GET(self) -> None:
        if self._host() not in LOCAL:
            return self._send(HTTPStatus.FORBIDDEN, b"not for this host\n", "text/plain; charset=utf-8")
        try:
            address = urlsplit(self.path)
            query = dict(parse_qsl(address.query, max_num_fields=20))
            kind, _, key = unquote(address.path, errors="strict").lstrip("/").partition("/")
            self._answer(kind, key, query)
        except (OutsideError, UnicodeDecodeError):
            self._error(HTTPStatus.NOT_FOUND, "There is nothing at this address.")
        except ValueError as error:
            self._error(HTTPStatus.BAD_REQUEST, f"This address cannot be read: {first_line(error)}.")
        except ConnectionError:  # the browser went on
            self.close_connection = True
        except Exception as error:  # whatever is on disk: it costs its page, not the others
            log.debug("%s", self.path, exc_info=error)
            words = f"This page could not be made: {type(error).__name__}: {first_line(error)}"
            self._error(HTTPStatus.INTERNAL_SERVER_ERROR, words)

    def do_HEAD(self) -> None:
        self.do_GET()

    def parse_request(self) -> bool:
        """Takes no method but GET and HEAD."""
        if not super().parse_request():
            return False
        if self.command in ("GET", "HEAD"):
            return True
        self.close_connection = True  # a body may follow that nobody reads
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET\n", "text/plain; charset=utf-8")
        return False

    def _answer(self, kind: str, key: str, query: dict[str, str]) -> None:
        pages = self.server.pages
        match kind:
            case "" if not key:
                self._page(pages.index())
            case "at":
                self._page(pages.folder(key))
            case "tables":
                self._page(pages.tables(key))
            case "samples" | "training":
                self._page(pages.samples(key, kind == "training", query))
            case "sample":
                self._page(pages.sample(key, query))
            case "report":
                self._send(HTTPStatus.OK, pages.report(key), HTML, REPORT_POLICY)
            case _:
                raise OutsideError(self.path)

    def _host(self) -> str:
        """The name that was asked, without the port."""
        host = self.headers.get("Host", "")
        name, separator, port = host.rpartition(":")
        return (name if separator and port.isdecimal() else host).lower()

    def _page(self, page: str) -> None:
        self._send(HTTPStatus.OK, page.encode("utf-8", "replace"), HTML)

    def _error(self, status: HTTPStatus, words: str) -> None:
        page = render(
            "view.html", ServedLinks(), status.phrase, [], live=False, eyebrow=f"{int(status)}",
            lead=printable(words), facts=[], sections=[],
        )  # fmt: skip
        self._send(status, page.encode("utf-8", "replace"), HTML)

    def _send(self, status: HTTPStatus, body: bytes, kind: str, policy: str = "") -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": policy or self.server.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, HEAD"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        log.debug(format, *words)


HTML = "text/html; charset=utf-8"
