"""A teacher behind a real HTTP server that tells log-probabilities of prompts as vLLM's does."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pytest
import torch

from evals.base.errors import JobError
from harness import config
from harness.config import OnPolicyDistill
from harness.engines.served import ServedEngine, ServerUnansweredError
from harness.models.policy import Policy, save_policy
from harness.train.distil.teacher import LocalTeacher, ServedTeacher
from harness.train.distil.update import DistilUpdater
from harness.train.micro_batch import MicroBatch
from tests.harness.train.distil.test_stage import lesson

MakePolicy = Callable[..., Policy]


def told(policy: Policy, ids: list[int], top: int) -> list[dict[str, dict[str, Any]] | None]:
    """What vLLM tells of a prompt: nothing of its first token."""
    with torch.no_grad():
        logs = torch.log_softmax(policy.model(torch.tensor([ids])).logits[0], 1)
    found: list[dict[str, dict[str, Any]] | None] = [None]
    for place, token in enumerate(ids[1:]):
        likeliest = logs[place].topk(top).indices.tolist() if top else []
        found.append({str(id): {"logprob": logs[place, id].item()} for id in {token, *likeliest}})
    return found


@contextmanager
def serving(policy: Policy, most: int = 20, cut: int = 0) -> Iterator[str]:
    """The address; ``most`` likeliest tokens at most, and ``cut`` places fewer than were asked for."""
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (self.path, body["max_tokens"]) == ("/v1/completions", 1)
            with lock:
                places = told(policy, body["prompt"], min(most, body["prompt_logprobs"]))
            choice = {"text": "", "finish_reason": "length", "prompt_logprobs": places[: len(places) - cut]}
            answer = json.dumps({"choices": [choice]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}/v1"
        http.shutdown()


def stage(folder: Path, address: str | None, **settings: Any) -> OnPolicyDistill:
    server = {"addresses": [address], "price_in": 2.0, "price_out": 1000.0}
    teacher = {"model": str(folder), **({"server": server} if address else {})}
    return OnPolicyDistill(
        teacher=teacher, completions_per_step=8, learning_rate=1e-12, max_grad_norm=1e9, **settings
    )


@pytest.mark.parametrize("settings", [{}, {"divergence": "jsd", "teacher_top_k": 5}])
def test_it_teaches_what_the_same_model_here_does(
    make_random_policy: MakePolicy, tmp_path: Path, settings: dict[str, Any]
) -> None:
    teacher, batch = make_random_policy(1), lesson()
    save_policy(teacher, tmp_path / "teacher")
    found = []
    with serving(copy.deepcopy(teacher)) as address:
        for where in (address, None):
            policy, of = make_random_policy(0), stage(tmp_path / "teacher", where, **settings)
            who = ServedTeacher(of, policy) if where else LocalTeacher(teacher, of, policy)
            found.append(DistilUpdater(policy, of, who, MicroBatch(16384)).update(batch, 1))
    for name in ("loss", "grad_norm", "divergence", "flops/teacher", "teacher/tokens"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-4), name
    # Every row is a prompt of all its tokens, answered by one token: at 2 and 1000 for a million of each.
    read = [row for row in batch.rows if any(batch.learned[row.index])]
    assert found[0]["teacher/price"] == pytest.approx(
        (sum(row.tokens for row in read) * 2 + len(read) * 1000) / 1e6
    )
    assert "teacher/price" not in found[1]


def test_too_few_tokens_of_a_place_or_too_few_places_are_said(
    make_random_policy: MakePolicy, tmp_path: Path
) -> None:
    teacher, policy = make_random_policy(1), make_random_policy(0)
    save_policy(teacher, tmp_path / "teacher")
    with serving(teacher, most=2) as address:
        of = stage(tmp_path / "teacher", address, divergence="jsd", teacher_top_k=5)
        updater = DistilUpdater(policy, of, ServedTeacher(of, policy), MicroBatch(16384))
        with pytest.raises(JobError, match=r"tells \d tokens a place where teacher_top_k asks for 5"):
            updater.update(lesson(), 1)
    with serving(teacher, cut=1) as address:
        settings = config.Policy(model=str(tmp_path / "teacher"), server=address)
        engine = ServedEngine(settings, where="t", teacher=True, pauses=(0.01,))
        with pytest.raises(
            ServerUnansweredError, match="was sent 3 tokens but returned log-probabilities for 2"
        ):
            engine.prompt_logprobs([[1, 2, 3]])
