"""A teacher behind a real HTTP server, which samples a real policy; refusals, silence and nonsense."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pytest

from evals.engine import Request, Sampling
from harness import config, files
from harness.config import SFT, Budget, Data, Distill, Experiment, Reject
from harness.engines.server import ServerEngine
from harness.engines.transformers import TransformersEngine
from harness.errors import JobError, UsageError
from harness.policy import Policy, save_policy
from harness.progress import Progress
from harness.recipe import check_experiment, run_experiment

QUICK = (0.01, 0.01)


@dataclass
class Served:
    """What the server was asked, and how it answers next."""

    address: str = ""
    folder: Path = Path()
    asked: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)


@pytest.fixture
def served(tiny_random_policy: Policy, tmp_path: Path) -> Iterator[Served]:
    state, engine = Served(folder=tmp_path / "teacher"), TransformersEngine(tiny_random_policy)
    save_policy(tiny_random_policy, state.folder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.asked.append(body)
                status = state.statuses.pop(0) if state.statuses else 200
                sampling = Sampling(body["temperature"], body["top_p"], max_tokens=body["max_tokens"])
                [group] = engine.generate([Request(body["prompt"], 1, body["seed"])], sampling)
            completion = group.completions[0]
            choice = {"text": completion.text, "finish_reason": completion.finish_reason}
            answer = json.dumps({"choices": [choice]} if status != 299 else {"hello": 1}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.address = f"http://127.0.0.1:{http.server_address[1]}/v1"
        Thread(target=http.serve_forever, daemon=True).start()
        yield state
        http.shutdown()


def engine_of(served: Served) -> ServerEngine:
    return ServerEngine(config.Policy(model=str(served.folder), server=served.address), QUICK)


def test_the_texts_are_those_of_the_policy_behind_it(served: Served, tiny_random_policy: Policy) -> None:
    requests, sampling = [Request("One?", 3, 5), Request("Two?", 2, 40)], Sampling(max_tokens=12)
    local = TransformersEngine(tiny_random_policy).generate(requests, sampling)
    remote = engine_of(served).generate(requests, sampling)
    assert [[c.text for c in g.completions] for g in remote] == [
        [c.text for c in g.completions] for g in local
    ]
    assert [g.prompt_ids for g in remote] == [g.prompt_ids for g in local]
    assert sorted(body["seed"] for body in served.asked) == [5, 6, 7, 40, 41]
    assert {body["n"] for body in served.asked} == {1}


def test_a_busy_server_is_asked_again_and_a_silent_one_named(served: Served) -> None:
    served.statuses = [503, 429]
    assert len(engine_of(served).generate([Request("One?", 1, 0)], Sampling(max_tokens=4))) == 1
    served.statuses = [503] * 3
    with pytest.raises(JobError, match="answers with status 503; what was sampled is kept"):
        engine_of(served).generate([Request("One?", 1, 0)], Sampling(max_tokens=4))
    served.statuses = [404]
    with pytest.raises(JobError, match="refuses with status 404"):
        engine_of(served).generate([Request("One?", 1, 0)], Sampling(max_tokens=4))
    served.statuses = [299]
    with pytest.raises(JobError, match="does not answer as an OpenAI-compatible server"):
        engine_of(served).generate([Request("One?", 1, 0)], Sampling(max_tokens=4))
    nobody = ServerEngine(config.Policy(model=str(served.folder), server="http://127.0.0.1:9/v1"), QUICK)
    with pytest.raises(JobError, match="does not answer"):
        nobody.generate([Request("One?", 1, 0)], Sampling(max_tokens=4))


def test_a_teacher_without_address_or_tokenizer_is_refused(served: Served, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no address"):
        ServerEngine(config.Policy(model=str(served.folder), server="localhost"))
    with pytest.raises(UsageError, match="need the tokenizer of"):
        ServerEngine(config.Policy(model=str(tmp_path / "none"), server=served.address))


def experiment(served: Served, **settings: Any) -> Experiment:
    short = {"steps": 1, "batch_size": 2, "max_tokens": 8}
    answers = {"samples": 4, "max_tokens": 60, "keep": {}, "per_question": 4}
    teacher = config.Policy(model=str(served.folder), server=served.address, template="tags")
    stage = Distill(teacher=teacher, answers=config.Answers(**answers), **short)
    return Experiment(
        name="x",
        policy=config.Policy(model=str(served.folder), template="tags"),
        data=Data(train="tiny-aime:train[:3]"),
        stages=[stage],
        tracking=config.Tracking(wandb="off"),
        **settings,
    )


def test_a_student_learns_from_a_server(served: Served, tmp_path: Path) -> None:
    assert run_experiment(experiment(served), tmp_path / "run", Progress(quiet=True)) == "done"
    [answers, tuning] = files.read_json(tmp_path / "run/ledger.json")["stages"]
    assert (answers["kind"], answers["teacher"], tuning["kind"]) == ("reject", True, "sft")
    assert answers["tokens"] > 0
    assert answers["flops"] > 0  # its configuration is in the folder


def test_what_cannot_be_counted_is_no_budget(served: Served) -> None:
    (served.folder / "config.json").unlink()
    with pytest.raises(UsageError, match="its FLOPs cannot be counted"):
        check_experiment(experiment(served, budget=Budget(limit=1e12)))
    check_experiment(experiment(served, budget=Budget(limit=1e12, teacher=False)))


def test_only_teachers_are_at_servers(served: Served) -> None:
    trained = experiment(served).model_copy(
        update={
            "policy": config.Policy(model="tiny", server=served.address),
            "stages": [Reject(), SFT(data="reject")],
        }
    )
    with pytest.raises(UsageError, match="only a teacher can be at a server"):
        check_experiment(trained)
