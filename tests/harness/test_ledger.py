"""What a run cost, from its files; budgets that end training; launches that were killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import config, ledger
from harness.config import GRPO, SFT, Budget, Data, Experiment, Reject
from harness.errors import JobError
from harness.grpo import checkpoint
from harness.grpo.optimizer import learning_rate_at
from harness.ledger import Cost, Launches, Meter, spent, stage_costs
from harness.policy import Policy, save_policy
from harness.progress import Progress
from harness.recipe import run_experiment
from harness.run import Run

STAGES = (
    SFT(name="cold", data="tiny-traces"),
    Reject(name="kept"),
    Reject(name="taught", teacher=config.Policy(model="tiny")),
    GRPO(name="rl"),
)
ROWS = [
    {"step": 0, "stage": "cold", "seconds/dev": 9.0},
    {"step": 1, "stage": "cold", "tokens": 10.0, "flops/update": 30.0, "seconds/update": 1.0},
    {"step": 2, "stage": "rl", "tokens": 50.0, "flops/rollout": 5.0, "flops/update": None,
     "seconds/rollout": 2.0, "seconds/reward": 0.5, "seconds/update": 1.0, "seconds/dev": 7.0},
    {"step": 3, "stage": "rl", "tokens": 50.0, "flops/rollout": 5.0, "flops/update": 9.0},
]  # fmt: skip
PAID = {"tokens": 7, "flops": 70.0, "device_seconds": 0.5}


def write(folder: Path) -> Path:
    folder.joinpath("metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name in ("kept", "taught"):
        path = folder / "data" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"rules": {"kept": 1}, "cost": PAID}))
    return folder


def test_costs_by_stage_leave_evaluations_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "devices", lambda: 1)
    assert stage_costs(write(tmp_path), STAGES) == [
        Cost("cold", "sft", False, 1, 10, 30.0, 1.0),
        Cost("kept", "reject", False, 0, 7, 70.0, 0.5),
        Cost("taught", "reject", True, 0, 7, 70.0, 0.5),
        Cost("rl", "grpo", False, 2, 100, 19.0, 3.5),
    ]


def test_a_budget_takes_a_teacher_as_given_or_not(tmp_path: Path) -> None:
    def meter(**settings: object) -> Meter:
        budget = Budget(limit=200.0, **settings)
        experiment = Experiment(
            name="x", policy=config.Policy(model="tiny"), data=Data(train="a"), stages=STAGES, budget=budget
        )
        return Meter(write(tmp_path), experiment)

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


def test_a_launch_that_was_killed_ends_with_its_last_sign_of_life(tmp_path: Path) -> None:
    import os

    write(tmp_path)
    killed = Launches(tmp_path, STAGES)
    began = killed._launches[-1]["started"]
    os.utime(tmp_path / ".alive", (began + 100, began + 100))
    again = Launches(tmp_path, STAGES)
    again.close()
    told = json.loads((tmp_path / "ledger.json").read_text())
    assert told["launches"][0] == {"started": began, "ended": pytest.approx(began + 100, abs=1e-3)}
    assert told["paid_device_seconds"] >= 99.9
    assert [stage["stage"] for stage in told["stages"]] == ["cold", "kept", "taught", "rl"]


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

    (tmp_path / "run/status.json").unlink()  # as if killed before it could say so: the same command goes on
    assert run_experiment(experiment, tmp_path / "run", Progress(quiet=True)) == "done"
    assert [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()] == rows


def test_a_run_knows_what_each_launch_took(tmp_path: Path) -> None:
    experiment = Experiment(name="x", policy=config.Policy(model="tiny"), data=Data(train="a"), stages=STAGES)
    for _ in range(2):
        run = Run(tmp_path, experiment)
        run.log(1, "rl", {"tokens": 3.0})
        run.close()
    told = json.loads((tmp_path / "ledger.json").read_text())
    assert len(told["launches"]) == 2
    assert all(launch["ended"] >= launch["started"] for launch in told["launches"])
    assert not (tmp_path / ".alive").exists()


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
