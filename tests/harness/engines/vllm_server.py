"""A stand-in for a vLLM server that takes new weights: its orders and answers, over a model of this process.

It samples token by token with the weights that it got over the real gloo group, so that what it says of a
token (its log-probability, the number of its weights) can be checked against the policy.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import torch

from harness.engines.servers.group import Group

Body = dict[str, Any]


@dataclass
class VllmServer:
    """The server's state, and what it was asked."""

    model: Any
    address: str = ""
    version: str = "default"
    paused: bool = False
    orders: list[str] = field(default_factory=list)
    asked: list[Body] = field(default_factory=list)
    at_token: Callable[[Body, str, int], None] = lambda body, began, place: None
    """(request, version at the completion's beginning, place of the token that is about to be drawn)"""
    at_pause: Callable[[int], None] = lambda before: None
    """Told how many pauses there were before, when one begins."""
    ignores_ends: bool = False
    group: Any = None
    turn: threading.Condition = field(default_factory=threading.Condition)

    def order(self, path: str, query: dict[str, list[str]], body: Body) -> Body:
        """What the server answers to an order."""
        self.orders.append(path)
        match path:
            case "/get_world_size":
                return {"world_size": 1}
            case "/v1/models":
                return {"data": [{"id": "policy"}]}
            case "/init_weight_transfer_engine":
                info = body["init_info"]
                self.group = Group(
                    info["address"], info["port"], info["first"], info["size"], info["seconds"]
                )
            case "/pause":
                assert query == {"mode": ["keep"]}
                self.at_pause(self.orders.count("/pause") - 1)
                with self.turn:
                    self.paused = True
            case "/update_weights":
                assert self.paused
                self._receive(body["update_info"])
            case "/update_weight_version":
                self.version = body["new_version"]
            case "/reset_prefix_cache":
                return {"success": query == {"reset_running_requests": ["true"]}}
            case "/resume":
                with self.turn:
                    self.paused = False
                    self.turn.notify_all()
        return {}

    def _receive(self, info: Body) -> None:
        held = self.model.state_dict()
        for name, dtype, shape in zip(info["names"], info["dtypes"], info["shapes"], strict=True):
            tensor = torch.empty(shape, dtype=getattr(torch, dtype))
            self.group.pass_on(tensor)
            held[name].copy_(tensor)

    def generate(self, body: Body) -> Body:
        """``/inference/v1/generate``."""
        self.asked.append(body)
        wanted = body["sampling_params"]
        with ThreadPoolExecutor(wanted["n"]) as together:
            answer: Body = {
                "choices": list(together.map(lambda place: self._choice(body, place), range(wanted["n"])))
            }
        if "prompt_logprobs" in wanted:
            ids = body["token_ids"]
            scores = self._logits(ids, 1.0).log_softmax(-1)
            told = [{str(token): {"logprob": float(scores[at, token])}} for at, token in enumerate(ids[1:])]
            answer["prompt_logprobs"] = [None, *told]
        return answer

    def _choice(self, body: Body, place: int) -> Body:
        wanted = body["sampling_params"]
        chance = torch.Generator().manual_seed(wanted["seed"] + place)
        drawn: list[int] = []
        scores: list[Body] = []
        spans: list[Body] = []
        began = self.version
        while len(drawn) < wanted["max_tokens"]:
            self.at_token(body, began, len(drawn))
            with self.turn:
                self.turn.wait_for(lambda: not self.paused)
                logits = self._logits([*body["token_ids"], *drawn], wanted["temperature"])[-1]
                if not spans or spans[-1]["version"] != self.version:
                    spans.append({"version": self.version, "start": len(drawn), "end": len(drawn)})
            known = logits.log_softmax(-1)
            token = int(torch.multinomial(known.exp(), 1, generator=chance))
            drawn.append(token)
            scores.append({"token_id": token, "logprob": float(known[token])})
            spans[-1]["end"] += 1
            if token in wanted["stop_token_ids"] and not self.ignores_ends:
                break
        told = {"content": scores} if "logprobs" in wanted else None
        return {"index": place, "token_ids": drawn, "logprobs": told, "weight_versions": spans}

    @torch.no_grad()
    def _logits(self, ids: list[int], temperature: float) -> torch.Tensor:
        found: torch.Tensor = self.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
        return found / temperature


@contextmanager
def vllm_server(model: torch.nn.Module) -> Iterator[VllmServer]:
    """A server of a copy of ``model`` at an address of its own."""
    state = VllmServer(copy.deepcopy(model).eval())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            read = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(json.loads(read) if read else {})

        def _answer(self, body: Body) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/inference/v1/generate":
                said = state.generate(body)
            else:
                said = state.order(parts.path, parse_qs(parts.query), body)
            content = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
