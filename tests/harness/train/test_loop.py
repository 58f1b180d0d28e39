"""The loop takes any learner: one of its own here, with the real engine, graders and files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evals.base import io
from evals.base.errors import JobError
from evals.task import Question, Task
from harness import config
from harness.config import SFT, Data, Experiment
from harness.engines.hf import TransformersEngine
from harness.models.policy import Policy, weights_hash
from harness.train import mending
from harness.train.loop import Learner, Outcome, StageRun, Step, run_stage
from harness.train.micro_batch import MicroBatch
from harness.train.run_dir import Run
from harness.train.stream import Stream

QUESTIONS = [Question(str(i), f"{i} plus {i}?", str(2 * i)) for i in range(3)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")
DEV = [(TASK, question) for question in QUESTIONS]


class Shrinker(Learner):
    """Pulls all weights towards zero, by as much as it has drawn so far; chance has its part in it."""

    def __init__(self, policy: Policy, fails_at: int = 0) -> None:
        self.stream = Stream([1, 2, 3, 4], seed=1)
        self.optimizer = torch.optim.SGD(policy.model.parameters(), lr=1e-3, momentum=0.9)
        self.micro_batch = MicroBatch(64)
        self.drawn = 0
        self.closed = False
        self._policy = policy
        self._fails_at = fails_at

    def step(self, step: int, spent: float) -> Step:
        if step == self._fails_at:
            raise JobError("diverged")
        self.drawn += sum(self.stream.take(3))
        loss = torch.zeros(())
        for parameter in self._policy.model.parameters():
            loss = loss + parameter.square().sum() * self.drawn * torch.rand(())
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return Step({"loss": float(loss.detach()), "drawn": self.drawn}, lambda: [{"step": step, "id": "x"}])

    def state(self) -> dict[str, Any]:
        return {"drawn": self.drawn}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.drawn = state["drawn"]

    def close(self) -> None:
        self.closed = True


class Followed:
    """Counts what the engine is sent."""

    def __init__(self, policy: Policy) -> None:
        self._engine = TransformersEngine(policy)
        self.syncs = 0

    def sync(self, model: Any) -> None:
        self.syncs += 1
        self._engine.sync(model)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Outcome]:
    def run(
        policy: Policy,
        name: str,
        learner: Learner,
        engine: Any = None,
        stage: str = "shrink",
        **options: Any,
    ) -> Outcome:
        of = SFT(name="shrink", data="x", steps=6, checkpoint_every=2, eval_every=3, max_tokens=8)
        data = Data(train="sums", dev="sums", dev_samples=1)
        experiment = Experiment(
            name="test", policy=config.Policy(model="tiny", template="tags"), data=data, stages=[of]
        )
        opened = Run(tmp_path / name, experiment)
        of = of.model_copy(update={"name": stage})
        try:
            return run_stage(of, StageRun(opened, policy, engine, **options), lambda *_: learner)
        finally:
            opened.close()

    return run


def rows(folder: Path) -> list[dict[str, Any]]:
    return list(io.read_lines(folder / "metrics.jsonl"))


def test_a_learner_s_state_comes_back_with_the_loop_s(
    make_random_policy: Callable[..., Policy], train: Callable[..., Outcome], tmp_path: Path
) -> None:
    whole = make_random_policy()
    assert train(whole, "whole", Shrinker(whole)) == Outcome("done", 6)
    reasons = iter([None, None, None, "away"])
    first = make_random_policy()
    pruned = train(first, "parts", Shrinker(first), should_stop=lambda: next(reasons))
    assert pruned == Outcome("pruned", 3, "away")
    again = make_random_policy(seed=5)  # the weights come from the checkpoint of step 2
    assert train(again, "parts", Shrinker(again)) == Outcome("done", 6)
    assert weights_hash(again.model) == weights_hash(whole.model)
    shown = [
        [(r["step"], r["loss"], r["drawn"]) for r in rows(tmp_path / name)] for name in ("whole", "parts")
    ]
    assert shown[0] == shown[1]
    assert mending.checkpoint_steps(tmp_path / "whole" / "checkpoints") == [4, 6]


def test_evaluations_logs_and_the_engine_s_weights(
    tiny_random_policy: Policy, train: Callable[..., Outcome], tmp_path: Path
) -> None:
    engine, learner = Followed(tiny_random_policy), Shrinker(tiny_random_policy)
    train(tiny_random_policy, "run", learner, engine, dev_questions=DEV)
    found = rows(tmp_path / "run")
    assert [row["step"] for row in found if "dev/pass@1" in row] == [0, 3, 6]
    assert {"memory_gib", "seconds/dev"} <= set(found[3])
    assert [row["step"] for row in io.read_lines(tmp_path / "run" / "samples.jsonl")] == [3, 6]
    assert engine.syncs == 4  # three evaluations and the end
    assert engine.weights_hash == weights_hash(tiny_random_policy.model)


def test_a_learner_is_closed_whatever_happens_and_its_checkpoint_is_its_stage_s(
    tiny_random_policy: Policy, train: Callable[..., Outcome]
) -> None:
    learner = Shrinker(tiny_random_policy, fails_at=3)
    with pytest.raises(JobError, match="diverged"):
        train(tiny_random_policy, "run", learner)
    assert learner.closed
    with pytest.raises(JobError, match="a checkpoint of stage shrink, not other"):
        train(tiny_random_policy, "run", Shrinker(tiny_random_policy), stage="other")


class Straying(Shrinker):
    """Leaves the reference policy behind at the third step."""

    def step(self, step: int, spent: float) -> Step:
        done = super().step(step, spent)
        return replace(done, metrics=done.metrics | {"kl": 3.0 if step >= 3 else 0.1})


def test_a_warning_is_told_once_however_often_the_run_resumes(
    make_random_policy: Callable[..., Policy],
    train: Callable[..., Outcome],
    caplog: pytest.LogCaptureFixture,
) -> None:
    reasons = iter([None, None, None, None, "away"])
    with caplog.at_level(logging.WARNING):
        first = make_random_policy()
        train(first, "run", Straying(first), should_stop=lambda: next(reasons))
        again = make_random_policy()
        train(again, "run", Straying(again))
    told = [record.getMessage() for record in caplog.records]
    assert [text.partition(":")[0] for text in told if "KL" in text] == ["step 3"]
