"""Budgets: what of a run's cost counts, and training that ends where one is spent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.base import io
from evals.base.errors import JobError
from evals.base.progress import Progress
from harness import config
from harness.config import GRPO, SFT, Budget, Data, Experiment, Reject
from harness.models.policy import Policy, save_policy
from harness.train import checkpoint
from harness.train.budget import Meter, spent
from harness.train.ledger import Cost
from harness.train.optimizer import learning_rate_at
from harness.train.pipeline import run_experiment

STAGES = (
    SFT(name="cold", data="tiny-traces"),
    Reject(name="kept"),
    Reject(name="taught", teacher=config.Policy(model="tiny")),
    GRPO(name="rl"),
)
ROWS = [
    {"step": 1, "stage": "cold", "tokens": 10.0, "flops/update": 30.0},
    {"step": 2, "stage": "rl", "tokens": 50.0, "flops/rollout": 5.0, "flops/update": None},
    {"step": 3, "stage": "rl", "tokens": 50.0, "flops/rollout": 5.0, "flops/update": 9.0},
]
PAID = {"tokens": 7, "flops": 70.0, "device_seconds": 0.5}


def test_a_budget_takes_a_teacher_as_given_or_not(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name in ("kept", "taught"):
        io.write_json(tmp_path / "data" / f"{name}.json", {"rules": {"kept": 1}, "cost": PAID})

    def meter(**settings: object) -> Meter:
        budget = Budget(limit=200.0, **settings)
        experiment = Experiment(
            name="x", policy=config.Policy(model="tiny"), data=Data(train="a"), stages=STAGES, budget=budget
        )
        return Meter(tmp_path, experiment)

    assert meter(measure="flops").share == (30 + 70 + 70 + 19) / 200
    assert meter(measure="flops", teacher=False).share == (30 + 70 + 19) / 200
    counted = meter(measure="tokens")
    assert counted.share == 124 / 200
    counted.count({"tokens": 76.0})
    assert counted.exhausted
    assert spent(Cost("t", "reject", teacher=True, tokens=7), Budget(limit=1.0, teacher=False)) == 0


def test_a_falling_learning_rate_follows_what_is_ahead() -> None:
    stage = SFT(data="tiny-traces", steps=100, schedule="linear", learning_rate=1.0)
    assert learning_rate_at(stage, 51) == pytest.approx(0.5)
    assert learning_rate_at(stage, 51, 0.2) == pytest.approx(0.5)
    assert learning_rate_at(stage, 51, 0.8) == pytest.approx(0.2)
    assert learning_rate_at(stage, 51, 1.3) == pytest.approx(0.0)


def test_training_ends_where_its_budget_does(tiny_random_policy: Policy, tmp_path: Path) -> None:
    """Both stages share it; the one that reaches it evaluates and leaves its checkpoint; nothing follows."""
    save_policy(tiny_random_policy, tmp_path / "policy")
    settings = {"max_tokens": 8, "checkpoint_every": 100, "learning_rate": 1e-3}
    experiment = Experiment(
        name="x",
        policy=config.Policy(model=str(tmp_path / "policy"), template="tags"),
        data=Data(train="tiny-aime:train[:20]", dev="tiny-aime:dev[:2]", dev_samples=1),
        stages=[
            GRPO(name="first", steps=2, completions_per_step=4, group_size=2, **settings),
            GRPO(name="second", steps=50, completions_per_step=4, group_size=2, **settings),
            GRPO(name="third", steps=50, completions_per_step=4, group_size=2, **settings),
        ],
        budget=Budget(measure="tokens", limit=100.0),
    )
    assert run_experiment(experiment, tmp_path / "run", Progress(quiet=True)) == "done"
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    tokens = [row["tokens"] for row in rows]
    assert sum(tokens) >= 100 > sum(tokens[:-1])
    assert [row["stage"] for row in rows] == ["first"] * 2 + ["second"] * (len(rows) - 2)
    assert "dev/pass@1" in rows[-1]
    newest = checkpoint.newest(tmp_path / "run/checkpoints")
    assert newest is not None
    assert checkpoint.step_of(newest) == len(rows)
    assert json.loads((tmp_path / "run/ledger.json").read_text())["stages"][1]["tokens"] == sum(tokens[2:])

    (tmp_path / "run/status.json").unlink()  # as if killed before it could say so: the same command resumes
    assert run_experiment(experiment, tmp_path / "run", Progress(quiet=True)) == "done"
    assert [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()] == rows


def test_a_budget_that_answers_alone_use_up_is_an_error(tiny_random_policy: Policy, tmp_path: Path) -> None:
    save_policy(tiny_random_policy, tmp_path / "policy")
    experiment = Experiment(
        name="x",
        policy=config.Policy(model=str(tmp_path / "policy"), template="tags"),
        data=Data(train="tiny-aime:train[:4]"),
        stages=[Reject(samples=8, max_tokens=60, keep={}, per_question=8), SFT(data="reject")],
        budget=Budget(measure="tokens", limit=20.0),
    )
    with pytest.raises(JobError, match="took the whole budget before the first training step"):
        run_experiment(experiment, tmp_path / "run", Progress(quiet=True))
