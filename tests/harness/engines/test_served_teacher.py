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

from evals.base import io
from evals.base.errors import JobError, UsageError
from evals.base.progress import Progress
from evals.engine import Request, Sampling
from evals.graders.registry import make_grader
from evals.protocols import Protocol
from evals.runner import sample_benchmark
from evals.scores import Scores
from evals.task import Question, Task
from harness import config
from harness.config import SFT, Budget, Data, Distill, Experiment, Reject
from harness.engines.hf import TransformersEngine
from harness.engines.served import ServedEngine
from harness.models.policy import Policy, save_policy
from harness.train.checks import check_experiment
from harness.train.pipeline import run_experiment

QUICK = (0.01, 0.01)


@dataclass
class Served:
    """What the server was asked, and how it answers next."""

    address: str = ""
    folder: Path = Path()
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
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
                state.keys.add(self.headers.get("Authorization"))
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


def engine_of(served: Served) -> ServedEngine:
    return ServedEngine(
        config.Policy(model=str(served.folder), server=served.address),
        where="teacher",
        teacher=True,
        pauses=QUICK,
    )


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


def test_a_key_comes_from_the_environment(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Request("One?", 1, 5)], Sampling(max_tokens=4)
    engine_of(served).generate(*asked)
    monkeypatch.setenv("HARNESS_TEACHER_KEY", "SECRET")
    engine_of(served).generate(*asked)
    assert served.keys == {None, "Bearer SECRET"}


@pytest.mark.parametrize("address", ["http://ann:PW@host/v1", "https://host/v1?api_key=PW"])
def test_an_address_with_a_password_is_refused(address: str) -> None:
    """Runs, attempts and reports hold the experiment as it is."""
    stage = {"kind": "distill", "teacher": {"model": "m", "server": address}}
    raw = {"name": "x", "policy": {"model": "tiny"}, "data": {"train": "tiny-aime:train"}, "stages": [stage]}
    with pytest.raises(
        UsageError, match=r"teacher\.server: contains a password.*HARNESS_TEACHER_KEY"
    ) as raised:
        config.validate(raw, "x.toml")
    assert "PW" not in str(raised.value)


def test_a_busy_server_is_asked_again_and_a_silent_one_named(served: Served) -> None:
    served.statuses = [503, 429]
    assert len(engine_of(served).generate([Request("One?", 1, 0)], Sampling(max_tokens=4))) == 1
    served.statuses = [503] * 3
    with pytest.raises(JobError, match=r"answers with status 503 \(1 of 1 .*; completed samples are kept"):
        engine_of(served).generate([Request("One?", 1, 0)], Sampling(max_tokens=4))
    served.statuses = [404]
    with pytest.raises(JobError, match="refuses with status 404"):
        engine_of(served).generate([Request("One?", 1, 0)], Sampling(max_tokens=4))
    served.statuses = [299] * 3
    with pytest.raises(JobError, match="does not answer as an OpenAI-compatible server"):
        engine_of(served).generate([Request("One?", 1, 0)], Sampling(max_tokens=4))
    nobody = ServedEngine(
        config.Policy(model=str(served.folder), server="http://127.0.0.1:9/v1"),
        where="teacher",
        teacher=True,
        pauses=QUICK,
    )
    with pytest.raises(JobError, match="does not answer"):
        nobody.generate([Request("One?", 1, 0)], Sampling(max_tokens=4))


def test_one_failed_request_costs_only_itself(served: Served, tmp_path: Path) -> None:
    """The other answers are kept, and the next call asks for what is missing and nothing else."""
    questions = [Question(f"q{i}", f"{i}?", str(i)) for i in range(3)]
    task = Task("numbers", "Numbers", "integer", ("test",), "test", lambda _: questions, "made up")
    protocol = Protocol("p", Sampling(max_tokens=4), "tags", 2, 0)

    def sample() -> Scores:
        with make_grader("integer") as grader:
            return sample_benchmark(
                engine_of(served), task, questions, protocol, tmp_path / "out", grader, block=4
            )

    served.statuses = [400]
    with pytest.raises(JobError, match=r"refuses with status 400.*\(1 of 6 requests got no answer\)"):
        sample()
    rows = list(io.read_lines(tmp_path / "out/samples.jsonl"))
    assert len(rows) == 5
    before = len(served.asked)
    scores = sample()
    assert len(served.asked) == before + 1
    assert [question.n for question in scores.questions] == [2, 2, 2]
    assert len({body["seed"] for body in served.asked}) == 6


def test_a_teacher_without_address_or_tokenizer_is_refused(served: Served, tmp_path: Path) -> None:
    raw = {"name": "x", "policy": {"model": "tiny"}, "data": {"train": "tiny-aime:train"}}
    stage = {"kind": "distill", "teacher": {"model": "m", "server": "localhost"}}
    with pytest.raises(UsageError, match=r"teacher\.server\S*: 'localhost' is not an address"):
        config.validate({**raw, "stages": [stage]}, "x.toml")
    with pytest.raises(UsageError, match="need the tokenizer of"):
        ServedEngine(
            config.Policy(model=str(tmp_path / "none"), server=served.address), where="teacher", teacher=True
        )


def experiment(served: Served, **settings: Any) -> Experiment:
    short = {"steps": 1, "batch_size": 2, "max_tokens": 8}
    answers = {"samples": 4, "max_tokens": 60, "keep": {}, "per_question": 4}
    server = config.Server(addresses=[served.address], price_in=0.0, price_out=100.0)
    teacher = config.Policy(model=str(served.folder), server=server, template="tags")
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
    [answers, tuning] = io.read_json(tmp_path / "run/ledger.json")["stages"]
    assert (answers["kind"], answers["teacher"], tuning["kind"]) == ("reject", True, "sft")
    assert answers["tokens"] > 0
    assert answers["flops"] > 0  # its configuration is in the folder
    assert answers["price"] == pytest.approx(answers["tokens"] * 100 / 1e6)
    assert tuning["price"] is None


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
