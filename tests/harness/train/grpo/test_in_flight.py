"""Servers get new weights while they draw: which weights drew each token, how old they are, and a resume."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from evals.base import io
from evals.base.errors import JobError, UsageError
from evals.task import Question, Task
from harness import config
from harness.config import GRPO, Data, Experiment
from harness.config.load import dump_toml
from harness.config.servers import Servers
from harness.engines.servers.engine import ServersEngine
from harness.engines.vllm_settings import VllmSettings
from harness.models.policy import Policy, save_policy
from harness.train.checks import check_ahead
from harness.train.learners import train_stage
from harness.train.loop import Outcome, StageRun
from harness.train.run_dir import Run
from tests.harness.engines.vllm_server import Body, VllmServer, vllm_server
from tests.harness.models.test_dist import torchrun
from tests.harness.train.grpo.drawn import check_tokens, learned

QUESTIONS = [Question(str(i), f"{i} plus {i}?", str(2 * i)) for i in range(6)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")
PAIRS = [(TASK, question) for question in QUESTIONS]
STEPS, GROUPS, HALF = 4, 2, 6
"""Steps; prompts of a step; the token at which completions wait for new weights."""


def stage(ahead: int, **settings: Any) -> GRPO:
    return GRPO(
        **{
            "steps": STEPS,
            "completions_per_step": 4 * GROUPS,
            "group_size": 4,
            "learning_rate": 1e-2,
            "rewards": {"language": 1.0, "overlong": 0.5},
            "overlong_buffer": 8,
            "max_tokens": 2 * HALF,
            "rollout_ahead": ahead,
            "sampler_correction": 2.0,
            "checkpoint_every": 1,
            "keep_checkpoints": 9,
            "eval_every": 0,
            **settings,
        }
    )


def experiment(of: GRPO, **policy: Any) -> Experiment:
    told = config.Policy.model_validate({"model": "tiny", "template": "tags", **policy})
    return Experiment(name="test", policy=told, data=Data(train="sums"), stages=[of])


@pytest.fixture
def server(make_random_policy: Callable[..., Policy]) -> Iterator[VllmServer]:
    with vllm_server(make_random_policy().model) as state:
        yield state


def engine_of(policy: Policy, server: VllmServer, seconds: float = 60.0) -> ServersEngine:
    """``seconds`` for one answer."""
    settings = config.Policy(model="tiny", servers=Servers(addresses=[server.address], timeout=seconds))
    return ServersEngine(policy, settings, VllmSettings())


def half_way(server: VllmServer, ahead: int) -> None:
    """Completions wait at token ``HALF`` for weights that were not there when they began, and those wait
    for all that have begun to be there. The first step's do not, for nothing is learned meanwhile."""
    there: list[str] = []

    def wait(body: Body, began: str, place: int) -> None:
        if body["sampling_params"]["max_tokens"] < 2 * HALF:  # a probe
            return
        with server.turn:
            if place == HALF:
                there.append(began)
                server.turn.notify_all()
                if len(there) > 4 * GROUPS:
                    assert server.turn.wait_for(lambda: server.version != began, 60)

    def pause(before: int) -> None:
        begun = min(before + ahead, STEPS) if before else 0
        with server.turn:
            assert server.turn.wait_for(lambda: len(there) >= 4 * GROUPS * begun, 60)

    server.at_token, server.at_pause, server.ignores_ends = wait, pause, True


def train(policy: Policy, engine: Any, folder: Path, of: GRPO, **options: Any) -> Outcome:
    run = Run(folder, experiment(of))
    try:
        return train_stage(of, StageRun(run, policy, engine, PAIRS, **options))
    finally:
        run.close()


def weights_after(folder: Path, step: int, make: Callable[..., Policy]) -> Policy:
    then = make()
    if step:
        saved = AutoModelForCausalLM.from_pretrained(folder / "checkpoints" / f"step-{step}")
        then.model.load_state_dict(saved.state_dict())
    return then


@pytest.mark.parametrize("ahead", [1, 3])
def test_each_token_is_of_the_weights_that_it_says(
    ahead: int,
    make_random_policy: Callable[..., Policy],
    server: VllmServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    batches = learned(monkeypatch)
    policy = make_random_policy()
    engine = engine_of(policy, server)
    half_way(server, ahead)
    assert train(policy, engine, tmp_path / "run", stage(ahead)) == Outcome("done", STEPS)
    check_tokens(batches, lambda step: weights_after(tmp_path / "run", step, make_random_policy), within=1e-4)
    rows = list(io.read_lines(tmp_path / "run" / "metrics.jsonl"))
    assert rows[0]["staleness/max"] == 0
    for row, batch in zip(rows, batches, strict=True):
        versions = [r.completion.versions for g in batch.groups for r in g.rollouts]
        ages = [row["step"] - 1 - version for each in versions for version in each]
        assert row["staleness"] == pytest.approx(sum(ages) / len(ages))
        assert row["staleness/max"] == max(ages) <= ahead
        assert row["staleness/mixed"] == (row["step"] > 1)
    asked = [body for body in server.asked if body["sampling_params"]["max_tokens"] == 2 * HALF]
    assert len(asked) == STEPS * GROUPS  # each step's once, and none beyond the last
    engine.close()


def test_what_was_being_drawn_is_drawn_again_after_a_resume(
    make_random_policy: Callable[..., Policy],
    server: VllmServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    batches = learned(monkeypatch)
    for launch in range(STEPS):  # one step each
        policy = weights_after(tmp_path / "run", launch, make_random_policy)
        engine = engine_of(policy, server)
        left = iter([None, "enough"])
        stop: Callable[[], str | None] = lambda left=left: next(left)  # noqa: E731
        outcome = train(policy, engine, tmp_path / "run", stage(2), should_stop=stop)
        assert outcome.step == launch + 1
        engine.close()
    check_tokens(batches, lambda step: weights_after(tmp_path / "run", step, make_random_policy), within=1e-4)
    rows = list(io.read_lines(tmp_path / "run" / "metrics.jsonl"))
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(row["staleness/max"] <= 2 for row in rows)
    asked = [group.prompt.question.id for batch in batches for group in batch.groups]
    assert sorted(asked[:6]) == [question.id for question in QUESTIONS]  # an epoch, each once
    assert len(set(asked[6:])) == len(asked[6:]) == 2


def test_a_server_that_fails_in_an_update_ends_the_run_at_once(
    make_random_policy: Callable[..., Policy], server: VllmServer, tmp_path: Path
) -> None:
    """Though completions are half-way there, and will not end."""
    over = threading.Event()

    def pause(before: int) -> None:
        if before == 1:
            raise ConnectionError

    def token(body: Body, _began: str, place: int) -> None:
        asked = [one for one in server.asked if one["sampling_params"]["max_tokens"] == 2 * HALF]
        if any(body is one for one in asked[GROUPS:]):  # of later steps
            over.wait(600)

    server.at_pause, server.at_token = pause, token
    policy = make_random_policy()
    engine = engine_of(policy, server, seconds=600.0)
    began = time.monotonic()
    with pytest.raises(
        JobError, match=r"does not answer /pause\?mode=keep .*; run the same command again to resume"
    ):
        train(policy, engine, tmp_path / "run", stage(3))
    engine.close()
    assert time.monotonic() - began < 300
    assert server.orders[-1] == "/resume"
    over.set()


@pytest.mark.slow
def test_of_two_processes_the_first_one_asks_for_both(
    make_random_policy: Callable[..., Policy], server: VllmServer, tmp_path: Path
) -> None:
    """Each step's completions are drawn once, and both learn their share of them: a checkpoint resumes."""
    save_policy(make_random_policy(), tmp_path / "model")
    of = experiment(
        stage(2, steps=3), model=str(tmp_path / "model"), device="cpu", servers=[server.address]
    ).model_copy(update={"data": Data(train="tiny-math:train[:8]")})
    file = tmp_path / "x.toml"
    file.write_text(dump_toml(of), encoding="utf-8")
    words = ("-m", "harness.cli", "train", str(file), "--out", str(tmp_path / "run"), "--quiet")
    said = torchrun(*words)
    assert said.returncode == 0, said.stderr
    rows = list(io.read_lines(tmp_path / "run" / "metrics.jsonl"))
    assert [row["staleness/max"] <= 2 for row in rows] == [True] * 3
    assert all(row["devices"] == 2 for row in rows)
    asked = [body for body in server.asked if body["sampling_params"]["max_tokens"] == 2 * HALF]
    assert len(asked) == 3 * GROUPS


def test_how_far_ahead_depends_on_what_samples() -> None:
    with pytest.raises(UsageError, match=r"grpo\.rollout_ahead is 2; accepted: 0 or 1, or more where serv"):
        check_ahead(experiment(stage(2)))
    with pytest.raises(UsageError, match=r"rollout_ahead is 1; accepted: with several processes 0"):
        check_ahead(experiment(stage(1)), processes=2)
    check_ahead(experiment(stage(1)))
    check_ahead(experiment(stage(7), servers=["http://node:8000"]), processes=8)
    with pytest.raises(ValueError, match="must be 0 or 1 with refill_rounds"):
        stage(2, refill_rounds=1)
