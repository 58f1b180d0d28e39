"""Sampling one step ahead: whose weights draw what, the same run after a resume, and errors of the thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from evals.base import io
from evals.base.errors import JobError
from evals.engine import Group, Request, Sampling
from evals.task import Question, Task
from harness import config
from harness.config import GRPO, Data, Experiment
from harness.engines.hf import TransformersEngine
from harness.models.policy import Policy, policy_hash, weights_hash
from harness.rewards import make_mix
from harness.train import checkpoint
from harness.train.grpo.prefetch import Ahead
from harness.train.grpo.rollout import Sampler
from harness.train.learners import train_stage
from harness.train.loop import Outcome, StageRun
from harness.train.probe import DRAWN
from harness.train.rollouts import Graders
from harness.train.run_dir import Run
from harness.train.stream import Prompts, Stream

QUESTIONS = [Question(str(i), f"{i} plus {i}?", str(2 * i)) for i in range(6)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")
PAIRS = [(TASK, question) for question in QUESTIONS]
Call = tuple[list[Request], Sampling, list[Group]]


def stage(**settings: Any) -> GRPO:
    chosen: dict[str, Any] = {
        "steps": 4,
        "completions_per_step": 12,
        "group_size": 4,
        "learning_rate": 1e-2,
        "rewards": {"language": 1.0, "overlong": 0.5},
        "overlong_buffer": 20,
        "max_tokens": 24,
        "rollout_ahead": 1,
        "sampler_correction": 2.0,
        "checkpoint_every": 1,
        "keep_checkpoints": 9,
        "eval_every": 2,
    }
    return GRPO(**(chosen | settings))


class Recording(TransformersEngine):
    """Keeps what it was asked and what it drew, without the probes."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy, own_weights=True)
        self.calls: list[Call] = []

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        groups = super().generate(requests, sampling)
        if sampling.max_tokens != DRAWN:
            self.calls.append((list(requests), sampling, groups))
        return groups


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Outcome]:
    def run_stage(
        policy: Policy, engine: Any, name: str = "run", of: GRPO | None = None, **options: Any
    ) -> Outcome:
        of = of or stage()
        experiment = Experiment(
            name="test",
            policy=config.Policy(model="tiny", template="tags"),
            data=Data(train="sums", dev="sums", dev_samples=2),
            stages=[of],
        )
        run = Run(tmp_path / name, experiment)
        try:
            return train_stage(of, StageRun(run, policy, engine, PAIRS, **options))
        finally:
            run.close()

    return run_stage


def own(policy: Policy) -> TransformersEngine:
    return TransformersEngine(policy, own_weights=True)


def test_a_step_learns_from_what_the_policy_before_the_last_update_drew(
    make_random_policy: Callable[..., Policy], train: Callable[..., Outcome], tmp_path: Path
) -> None:
    policy = make_random_policy()
    engine = Recording(policy)
    train(policy, engine, of=stage(eval_every=0))
    assert len(engine.calls) == 4  # a step each, and none for a fifth
    for step, (requests, sampling, drawn) in enumerate(engine.calls, start=1):
        trained = max(0, step - 2)  # the updates that the sampler had seen
        then = make_random_policy()
        if trained:
            folder = tmp_path / "run" / "checkpoints" / f"step-{trained}"
            then.model.load_state_dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())
        again = TransformersEngine(then).generate(requests, sampling)
        assert [[c.token_ids for c in g.completions] for g in again] == [
            [c.token_ids for c in g.completions] for g in drawn
        ]
    drifts = [row["drift"] for row in io.read_lines(tmp_path / "run" / "metrics.jsonl")]
    assert drifts[0] < 1e-5  # the first batch is nobody's past
    assert min(drifts[1:]) > 1e-3


@pytest.mark.parametrize("first_step", [0, 5])
def test_a_resumed_run_gives_the_same_bits(
    make_random_policy: Callable[..., Policy], train: Callable[..., Outcome], tmp_path: Path, first_step: int
) -> None:
    whole = make_random_policy()
    train(whole, own(whole), "whole", first_step=first_step)
    for launch in range(4):  # one step each
        policy = make_random_policy()
        left = iter([None, "enough"])
        outcome = train(
            policy, own(policy), "pieces", first_step=first_step, should_stop=lambda left=left: next(left)
        )
        assert outcome.step == first_step + launch + 1
    found = []
    for name in ("whole", "pieces"):
        rows = list(io.read_lines(tmp_path / name / "metrics.jsonl"))
        found.append(
            [
                {
                    k: v
                    for k, v in row.items()
                    if not k.startswith(("seconds/", "mfu")) and k not in ("time", "memory_gib")
                }
                for row in rows
            ]
        )
        assert checkpoint.steps(tmp_path / name / "checkpoints") == [first_step + n for n in (1, 2, 3, 4)]
    assert found[0] == found[1]
    assert min(row["drift"] for row in found[0][1:]) > 1e-3  # every batch but the first was drawn ahead
    first, second = (
        (tmp_path / name / f"checkpoints/step-{first_step + 4}/model.safetensors").read_bytes()
        for name in ("whole", "pieces")
    )
    assert first == second


def test_two_splits_that_number_alike_are_told_apart(make_random_policy: Callable[..., Policy]) -> None:
    policy, of = make_random_policy(), stage(rewards={"language": 1.0}, completions_per_step=8)
    pairs = [(TASK, Question("0", "one plus one?", "2")), (TASK, Question("0", "two plus two?", "4"))]
    with Graders() as graders:

        def ahead(questions: Sequence[tuple[Task, Question]]) -> Ahead:
            prompts = Prompts(questions, "tags", policy)
            stream, mix = Stream(prompts, 0), make_mix(of.rewards)
            engine = own(policy)
            sampler = Sampler(engine, graders, mix, stage=of, stream=stream, seed=0)
            return Ahead(sampler, of, prompts, engine, last_step=4)

        def draw(some: Ahead, step: int) -> None:
            some.take(step)
            some.start(step)
            some.wait()

        first, again = ahead(pairs), ahead(pairs)
        draw(first, 1)
        again.restore(first.state())
        drawn, restored = first.take(2), again.take(2)
        assert [group.prompt.question.text for group in restored.groups] == [
            group.prompt.question.text for group in drawn.groups
        ]
        assert {group.prompt.question.gold for group in restored.groups} == {"2", "4"}
        first.start(2)
        first.wait()
        with pytest.raises(JobError, match=r"data\.train: question 0 of sums.*no longer there"):
            ahead(pairs[:1]).restore(first.state())
        first.close()


def test_sampling_ahead_and_not_differ_from_the_third_step_on(
    make_random_policy: Callable[..., Policy], train: Callable[..., Outcome], tmp_path: Path
) -> None:
    rewards = {}
    for name, ahead in (("ahead", 1), ("beside", 0)):
        policy = make_random_policy()
        train(policy, own(policy), name, stage(rollout_ahead=ahead, learning_rate=3e-2))
        rows = io.read_lines(tmp_path / name / "metrics.jsonl")
        rewards[name] = [(row["reward"], row["length"]) for row in rows if row["step"]]
    assert rewards["ahead"][0] == rewards["beside"][0]
    assert rewards["ahead"] != rewards["beside"]


class Failing(TransformersEngine):
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        if self._fails:
            raise JobError("the sampler is gone")
        self._fails = True
        return super().generate(requests, sampling)

    _fails = False


def test_an_error_of_the_thread_ends_the_run(
    make_random_policy: Callable[..., Policy], train: Callable[..., Outcome]
) -> None:
    policy = make_random_policy()
    with pytest.raises(JobError, match="the sampler is gone"):
        train(policy, Failing(policy, own_weights=True), of=stage(eval_every=0))


def test_it_needs_a_correction() -> None:
    with pytest.raises(ValueError, match="rollout_ahead needs sampler_correction"):
        stage(sampler_correction=None)


def test_an_engine_with_its_own_weights_moves_when_it_is_told(
    make_random_policy: Callable[..., Policy],
) -> None:
    policy = make_random_policy()
    engine = own(policy)
    requests, sampling = [Request("1 plus 1?", 4, 0)], Sampling(max_tokens=8)
    before, drawn = engine.weights_hash, engine.generate(requests, sampling)
    assert engine.model_hash == policy_hash(policy.model, policy.tokenizer)
    for _ in range(2):  # the policy moves on after a sync too
        with torch.no_grad():
            for parameter in policy.model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        assert engine.weights_hash == before
        assert engine.generate(requests, sampling) == drawn
        engine.sync(policy.model)
        assert engine.weights_hash == weights_hash(policy.model) != before
        assert engine.model_hash == policy_hash(policy.model, policy.tokenizer)
        before, told = engine.weights_hash, engine.generate(requests, sampling)
        assert told == TransformersEngine(policy).generate(requests, sampling) != drawn
        drawn = told
