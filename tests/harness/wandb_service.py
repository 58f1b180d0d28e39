"""A stand-in for W&B's service: as much of its protocol as wandb's own client needs to log and resume runs.

It keeps what the client sends: a run's history lines, its summary and configuration. Lines come with an
offset, as the service takes them, so that one sent twice counts once.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any


@dataclass
class ServedRun:
    """One run as the service knows it."""

    history: list[str] = field(default_factory=list)
    summary: str = "{}"
    config: str = "{}"
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """The lines of its history that hold metrics of ours."""
        return [row for row in map(json.loads, self.history) if "step" in row]


@dataclass
class Service:
    """What was sent to the service."""

    address: str = ""
    runs: dict[str, ServedRun] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    refuse_lines: int = 0
    """How many requests that bring lines of history or a summary to refuse: an outage."""
    lock: Lock = field(default_factory=Lock)


@contextmanager
def serve() -> Iterator[Service]:
    """The service on a port of this machine, with nobody's runs yet."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            with service.lock:
                away = service.refuse_lines > 0 and self.path.endswith("/file_stream")
                service.refuse_lines -= away
                said = {} if away else _reply(service, self.path, body)
            content = json.dumps(said).encode()
            self.send_response(503 if away else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815  http.server asks for these names

        def log_message(self, *_args: Any) -> None:
            return

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_args: Any) -> None:
            """The client hangs up as it likes."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        service.address = f"http://127.0.0.1:{http.server_address[1]}"
        Thread(target=http.serve_forever, daemon=True).start()
        yield service
        http.shutdown()


def _reply(service: Service, path: str, body: bytes) -> dict[str, Any]:
    if path == "/graphql":
        asked = json.loads(body)
        [operation] = re.findall(r"^\s*(?:query|mutation) (\w+)", asked["query"], re.MULTILINE)
        return {"data": _data(service, operation, asked.get("variables") or {})}
    if path.endswith("/file_stream"):
        _stream(service.runs[path.split("/")[4]], json.loads(body))
    return {}


def _stream(run: ServedRun, sent: dict[str, Any]) -> None:
    for name, chunk in (sent.get("files") or {}).items():
        if name == "wandb-history.jsonl":
            run.history[chunk["offset"] :] = chunk["content"]
        elif name == "wandb-summary.json":
            run.summary = chunk["content"][-1]


def _data(service: Service, operation: str, given: dict[str, Any]) -> dict[str, Any]:
    entity = {"id": "e", "name": "me"}
    match operation:
        case "Viewer":
            return {"viewer": {"id": "u", "entity": "me", "username": "me", "teams": {"edges": []}}}
        case "RunResumeStatus":
            run = service.runs.get(given["name"])
            return {
                "model": {
                    "id": "p",
                    "name": "p",
                    "entity": entity,
                    "bucket": None if run is None else _bucket(given["name"], run),
                }
            }
        case "UpsertBucket":
            name = given.get("name") or given["id"]
            fresh = name not in service.runs
            run = service.runs.setdefault(name, ServedRun())
            run.config = given.get("config") or run.config
            run.group, run.job_type = (
                given.get("groupName") or run.group,
                given.get("jobType") or run.job_type,
            )
            run.tags = given.get("tags") or run.tags
            bucket = {**_bucket(name, run), "project": {"id": "p", "name": "p", "entity": entity}}
            return {"upsertBucket": {"bucket": bucket, "inserted": fresh}}
        case "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{service.address}/put"} for name in given["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        case "ArtifactType":
            return {"project": None}
        case "CreateArtifact":
            service.artifacts.append(given["input"]["artifactTypeName"])
            artifact = {"id": f"a{len(service.artifacts)}", "state": "COMMITTED", "artifactSequence": None}
            return {"createArtifact": {"artifact": artifact}}
    return {}


def _bucket(name: str, run: ServedRun) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "displayName": name,
        "sweepName": None,
        "summaryMetrics": run.summary,
        "config": run.config,
        "tags": run.tags,
        "logLineCount": 0,
        "eventsLineCount": 0,
        "historyLineCount": len(run.history),
        "historyTail": json.dumps(run.history[-1:]),
        "eventsTail": "[]",
        "wandbConfig": '{"t": 1}',
    }
