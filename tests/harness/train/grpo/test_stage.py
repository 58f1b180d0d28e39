"""The loop on a small random policy with the real engine, graders and files."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evals.base import io
from evals.base.errors import JobError, UsageError
from evals.engine import Group, Request, Sampling
from evals.task import Question, Task
from harness import config
from harness.config import GRPO, Data, Experiment
from harness.engines.hf import TransformersEngine
from harness.models.policy import Policy, weights_hash
from harness.rewards import make_mix
from harness.train import checkpoint
from harness.train.grpo.advantages import advantages
from harness.train.grpo.reference import make_reference
from harness.train.grpo.rollout import Sampler, informative
from harness.train.grpo.update import Updater, loss_tokens, rows_of, split
from harness.train.learners import train_stage
from harness.train.loop import Outcome, StageRun
from harness.train.micro_batch import MicroBatch
from harness.train.rollouts import Graders
from harness.train.run_dir import Run
from harness.train.stream import Prompts, Stream

QUESTIONS = [Question(str(i), f"{i} plus {i}?", str(2 * i)) for i in range(6)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")
PAIRS = [(TASK, question) for question in QUESTIONS]


def stage(**settings: Any) -> GRPO:
    chosen = {
        "steps": 2,
        "completions_per_step": 12,
        "group_size": 4,
        "learning_rate": 1e-3,
        "rewards": {"language": 1.0, "overlong": 0.5},
        "overlong_buffer": 20,
        "max_tokens": 24,
        **settings,
    }
    return GRPO(**chosen)


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Outcome]:
    def run_stage(policy: Policy, of: GRPO, name: str = "run", engine: Any = None, **options: Any) -> Outcome:
        experiment = Experiment(
            name="test",
            policy=config.Policy(model="tiny", template="tags"),
            data=Data(train="sums", dev="sums", dev_samples=2),
            stages=[of],
        )
        run = Run(tmp_path / name, experiment)
        try:
            given = StageRun(run, policy, engine or TransformersEngine(policy), PAIRS, **options)
            return train_stage(of, given)
        finally:
            run.close()

    return run_stage


def rows(folder: Path) -> list[dict[str, Any]]:
    return list(io.read_lines(folder / "metrics.jsonl"))


def test_a_stage_logs_evaluates_and_leaves_a_checkpoint(
    tiny_random_policy: Policy, train: Callable[..., Outcome], tmp_path: Path
) -> None:
    seen: list[dict[str, Any]] = []
    before = weights_hash(tiny_random_policy.model)
    of = stage(beta=0.1, epochs=2)
    outcome = train(tiny_random_policy, of, dev_questions=PAIRS[:3], on_step=seen.append)
    assert outcome == Outcome("done", 2)
    assert weights_hash(tiny_random_policy.model) != before
    assert seen == rows(tmp_path / "run")
    first, last = seen
    assert (first["step"], last["step"], last["stage"]) == (1, 2, "grpo")
    assert {
        "reward", "reward/language", "reward/overlong", "reward_std", "zero_variance", "kl", "entropy",
        "clip_fraction", "ratio/max", "grad_norm", "loss", "learning_rate", "length", "length/wrong",
        "truncated", "drift", "tokens", "seconds/rollout", "seconds/reward", "seconds/update", "memory_gib",
    } <= set(first)  # fmt: skip
    assert first["drift"] < 1e-4
    assert first["probe/drift"] < 1e-4
    assert "dev/pass@1" not in first
    assert {"dev/pass@1", "dev/stderr", "dev/cons@2", "dev/truncated", "dev/unparsed"} <= set(last)
    assert last["dev/stderr"] > 0  # also where no sample was right
    (sample, *_) = io.read_lines(tmp_path / "run" / "samples.jsonl")
    assert set(sample) == {
        "step", "id", "sample", "prompt", "response", "answer", "correct", "status", "detail",
        "finish_reason", "tokens", "rewards", "reward", "advantage",
    }  # fmt: skip
    assert (tmp_path / "run" / "checkpoints" / "step-2" / "model.safetensors").exists()


def test_a_reward_that_can_be_earned_is(tiny_random_policy: Policy, train: Callable[..., Outcome]) -> None:
    seen: list[dict[str, Any]] = []
    of = stage(steps=12, completions_per_step=32, group_size=8, learning_rate=5e-3, rewards={"overlong": 1.0})
    train(tiny_random_policy, of, on_step=seen.append)
    assert seen[-1]["reward"] > seen[0]["reward"] + 0.2
    assert seen[-1]["length"] < seen[0]["length"]


def test_a_reason_to_stop_prunes(
    tiny_random_policy: Policy, train: Callable[..., Outcome], tmp_path: Path
) -> None:
    reasons = iter([None, "worse than the median"])
    outcome = train(tiny_random_policy, stage(steps=5), should_stop=lambda: next(reasons))
    assert outcome == Outcome("pruned", 1, "worse than the median")
    assert [row["step"] for row in rows(tmp_path / "run")] == [1]


def test_everything_in_a_later_stage_counts_that_stage_s_steps(
    tiny_random_policy: Policy, train: Callable[..., Outcome], tmp_path: Path
) -> None:
    term = config.RewardTerm(weight=1.0, final=0.2, steps=3)
    of = stage(
        steps=4,
        rewards={"language": 1.0, "overlong": term},
        warmup_steps=8,
        beta=0.1,
        reference=config.Reference(refresh="every", steps=2),
        eval_every=2,
        checkpoint_every=2,
        keep_checkpoints=9,
        keep_best=True,
    )
    outcome = train(tiny_random_policy, of, dev_questions=PAIRS[:2], first_step=5)
    assert outcome == Outcome("done", 9)
    found = rows(tmp_path / "run")
    assert [row["step"] for row in found] == [6, 7, 8, 9]
    weights = [(row["reward"] - row["reward/language"]) / row["reward/overlong"] for row in found]
    assert weights == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert [row["learning_rate"] for row in found] == pytest.approx([1e-3 * n / 8 for n in (1, 2, 3, 4)])
    # The reference is the policy of the stage's beginning, and again that of its second step.
    assert [row["kl"] > 1e-9 for row in found] == [False, True, False, True]
    assert ["dev/pass@1" in row for row in found] == [False, True, False, True]
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [7, 9]
    assert (tmp_path / "run/checkpoints/best").resolve().name == "step-7"  # no later one is better


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(
    make_random_policy: Callable[..., Policy], train: Callable[..., Outcome], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        train(make_random_policy(), stage(), name=name)
    a, b = ([row["loss"] for row in rows(tmp_path / name)] for name in ("a", "b"))
    assert a == b


def test_an_unknown_reward_is_refused_by_name(
    tiny_random_policy: Policy, train: Callable[..., Outcome]
) -> None:
    with pytest.raises(UsageError, match=r"rewards\.spelling.*accuracy"):
        train(tiny_random_policy, stage(rewards={"spelling": 1.0}))


class Stale(TransformersEngine):
    """An engine that forgets to sync."""

    def __init__(self, policy: Policy, other: Policy) -> None:
        super().__init__(other)

    def sync(self, model: Any) -> None:
        pass


def test_an_engine_that_does_not_follow_the_policy_is_caught(
    make_random_policy: Callable[..., Policy], train: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hash is of what it was sent, which says nothing about what it computes with."""
    policy = make_random_policy(seed=0)
    monkeypatch.setattr(Stale, "weights_hash", property(lambda engine: weights_hash(policy.model)))
    with pytest.raises(
        JobError, match=r"does not sample the policy.* float32 explains less than 0\.001.*LM head"
    ):
        train(policy, stage(), engine=Stale(policy, make_random_policy(seed=1)))


class Truncating(TransformersEngine):
    """An engine that is right for a few tokens and draws long completions from another distribution."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        groups = super().generate(requests, sampling)
        if sampling.max_tokens < 10:
            return groups
        off = [[replace(c, logprobs=tuple(x / 2 for x in c.logprobs)) for c in g.completions] for g in groups]
        return [replace(g, completions=tuple(c)) for g, c in zip(groups, off, strict=True)]


def test_completions_of_another_distribution_are_caught_where_the_probe_sees_nothing(
    tiny_random_policy: Policy, train: Callable[..., Outcome]
) -> None:
    with pytest.raises(
        JobError, match=r"differ by .* nats per token, where rounding explains less than 0\.05"
    ):
        train(tiny_random_policy, stage(), engine=Truncating(tiny_random_policy))


def test_divergence_saves_the_minibatch(
    tiny_random_policy: Policy, train: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(self: Updater) -> float:
        return math.nan

    monkeypatch.setattr(Updater, "_clip", poisoned)
    before = weights_hash(tiny_random_policy.model)
    with pytest.raises(JobError, match=r"diverged.*failed-step-1\.json"):
        train(tiny_random_policy, stage())
    saved = json.loads((tmp_path / "run" / "failed-step-1.json").read_text())
    assert len(saved) == 12
    assert weights_hash(tiny_random_policy.model) == before


def test_telling_languages_apart_is_no_part_of_the_update(
    tiny_random_policy: Policy, train: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def slow(attempt: Any) -> float:
        calls.append(attempt)
        time.sleep(0.05)
        return 0.75

    monkeypatch.setattr("harness.train.grpo.metrics.language", slow)
    train(tiny_random_policy, stage(steps=1, rewards={"overlong": 1.0}))
    (row,) = rows(tmp_path / "run")
    assert len(calls) == 12
    assert row["one_language"] == 0.75
    assert row["seconds/reward"] > 0.6
    train(tiny_random_policy, stage(steps=1, rewards={"language": 1.0}), name="known")
    (row,) = rows(tmp_path / "known")
    assert len(calls) == 12  # the reward has said it
    assert row["one_language"] == pytest.approx(row["reward/language"])


def draw(policy: Policy, of: GRPO, step: int = 1, questions: Sequence[Any] = PAIRS) -> Any:
    with Graders() as graders:
        stream = Stream(Prompts(questions, "tags", policy), seed=0)
        sampler = Sampler(
            TransformersEngine(policy), graders, make_mix(of.rewards), stage=of, stream=stream, seed=0
        )
        return sampler.draw(step)


def gradient(policy: Policy, of: GRPO, batch: Any, budget: int | None = None) -> torch.Tensor:
    """The first parameter change of plain gradient descent on the batch."""
    rewards = torch.tensor([group.rewards for group in batch.groups], dtype=torch.float64)
    start = [p.detach().clone() for p in policy.model.parameters()]
    reference = make_reference(policy, of.reference) if of.beta else None
    updater = Updater(policy, of, reference, MicroBatch(budget or of.micro_batch_tokens))
    updater.optimizer = torch.optim.SGD(policy.model.parameters(), lr=1.0)
    updater.update(rows_of(batch.weighed(advantages(rewards, of)).groups, False), 1, Path("unused"))
    moved = torch.cat([(p - s).flatten() for p, s in zip(policy.model.parameters(), start, strict=True)])
    with torch.no_grad():
        for parameter, value in zip(policy.model.parameters(), start, strict=True):
            parameter.copy_(value)
    return moved.detach()


@pytest.mark.parametrize("aggregation", ["grpo", "bnpo", "dr_grpo", "dapo"])
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_the_update_does_not_depend_on_the_micro_batch(
    tiny_random_policy: Policy, aggregation: Any, beta: float
) -> None:
    of = stage(aggregation=aggregation, beta=beta, learning_rate=1.0, max_grad_norm=1e9)
    batch = draw(tiny_random_policy, of)
    whole = gradient(tiny_random_policy, of, batch)
    assert whole.abs().max() > 1e-4
    torch.testing.assert_close(gradient(tiny_random_policy, of, batch, budget=64), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("loss", ["clip_cov", "kl_cov"])
@pytest.mark.parametrize("aggregation", ["grpo", "dapo"])
def test_chosen_tokens_do_not_depend_on_the_micro_batch(
    tiny_random_policy: Policy, loss: str, aggregation: Any
) -> None:
    many = {"share": 0.05} | ({"low": 0.0} if loss == "clip_cov" else {})
    settings = {"aggregation": aggregation, "max_grad_norm": 1e9, "minibatches": 3, "epochs": 2}
    of = stage(loss={"kind": loss, **many}, **settings)
    batch = draw(tiny_random_policy, of)
    whole = gradient(tiny_random_policy, of, batch)
    torch.testing.assert_close(gradient(tiny_random_policy, of, batch, budget=64), whole, rtol=0, atol=1e-5)
    few = gradient(tiny_random_policy, stage(loss={"kind": loss, "share": 1e-9}, **settings), batch)
    assert (few - whole).abs().max() > 1e-4


def test_rows_without_an_advantage_have_a_part_in_the_choice_and_are_learned_where_chosen(
    tiny_random_policy: Policy, tmp_path: Path
) -> None:
    of = stage(loss={"kind": "kl_cov", "share": 1e-9}, epochs=2, learning_rate=1e-9)
    made = rows_of(draw(tiny_random_policy, of).weighed(torch.ones(3, 4)).groups, False)
    lowest, other = (row.index for row in sorted(made, key=lambda row: min(row.sampler))[:2])
    # Two rows far below the mean advantage: the less likely a token of theirs, the larger its covariance.
    for index in (lowest, other):
        made[index] = replace(made[index], advantage=0.0)
    updater = Updater(tiny_random_policy, of, None, MicroBatch(16384))
    seen: list[int] = []
    real = updater.scorer.micro_batches

    def watched(block: Any, *rest: Any) -> Any:
        seen.extend(row.index for batch in block.micro_batches for row in batch)
        return real(block, *rest)

    updater.scorer.micro_batches = watched  # type: ignore[method-assign]
    metrics = updater.update(made, 1, tmp_path / "failed.json")
    assert set(seen) == {row.index for row in made} - {other}
    assert metrics["chosen"] == pytest.approx(1 / loss_tokens(made))


def test_the_weight_of_the_entropy_bonus_follows_a_target(
    tiny_random_policy: Policy, train: Callable[..., Outcome], tmp_path: Path
) -> None:
    high = {"weight": 0.01, "target": 100.0, "step": 0.02, "high": 0.04}
    train(tiny_random_policy, stage(steps=3, entropy_bonus=high, checkpoint_every=1))
    assert [row["entropy/weight"] for row in rows(tmp_path / "run")] == pytest.approx([0.0, 0.03, 0.04])
    state = torch.load(tmp_path / "run" / "checkpoints" / "step-3" / "trainer.pt")
    assert state["entropy_bonus"] == {"coefficient": 0.04, "entropy": rows(tmp_path / "run")[-1]["entropy"]}
    low = {"weight": 0.05, "target": 0.001, "step": 0.02}
    train(tiny_random_policy, stage(steps=2, entropy_bonus=low), name="low")
    assert [row["entropy/weight"] for row in rows(tmp_path / "low")] == [0.0, 0.0]


def test_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(
    tiny_random_policy: Policy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from harness.train.grpo import update

    of = stage(learning_rate=1.0, max_grad_norm=1e9, micro_batch_tokens=400)
    batch = draw(tiny_random_policy, of)
    whole = gradient(tiny_random_policy, of, batch)
    real, calls = update.grpo_loss, []

    def failing(terms: Any, *rest: Any) -> Any:
        calls.append(terms.mask.numel())
        if len(calls) == 1:
            raise torch.OutOfMemoryError("no memory")
        return real(terms, *rest)

    monkeypatch.setattr(update, "grpo_loss", failing)
    with caplog.at_level(logging.WARNING):
        again = gradient(tiny_random_policy, of, batch)
    assert "micro_batch_tokens = 200" in caplog.text
    torch.testing.assert_close(again, whole, rtol=0, atol=1e-5)

    monkeypatch.setattr(update, "grpo_loss", lambda *a: (_ for _ in ()).throw(torch.OutOfMemoryError("no")))
    with pytest.raises(JobError, match="out of memory"):
        gradient(tiny_random_policy, of, batch)


def test_truncated_completions_can_be_left_out(tiny_random_policy: Policy) -> None:
    of = stage(mask_truncated=True)
    batch = draw(tiny_random_policy, of)
    made = rows_of(batch.weighed(torch.ones(3, 4)).groups, of.mask_truncated)
    cut = [rollout.truncated for group in batch.groups for rollout in group.rollouts]
    assert any(cut)
    assert [row.counts for row in made] == [not truncated for truncated in cut]
    assert loss_tokens(made) == sum(
        len(row.completion_ids) for row, truncated in zip(made, cut, strict=True) if not truncated
    )


def test_minibatches_keep_groups_whole(tiny_random_policy: Policy) -> None:
    of = stage(completions_per_step=24)
    made = rows_of(draw(tiny_random_policy, of).weighed(torch.ones(6, 4)).groups, False)
    parts = split(made, 3)
    assert [sorted({row.group for row in part}) for part in parts] == [[0, 1], [2, 3], [4, 5]]
    assert [len(part) for part in parts] == [8, 8, 8]


def test_prompts_come_once_an_epoch_in_an_order_the_seed_decides(tiny_random_policy: Policy) -> None:
    prompts = Prompts(PAIRS, "tags", tiny_random_policy)

    def order(seed: int, start: int = 0) -> list[str]:
        stream = Stream(prompts, seed)
        stream.position = start
        return [prompt.question.id for prompt in stream.take(12 - start)]

    drawn = order(1)
    assert sorted(drawn[:6]) == sorted(drawn[6:]) == [question.id for question in QUESTIONS]
    assert drawn[:6] != drawn[6:]
    assert order(1) == drawn
    assert order(1, start=8) == drawn[8:]
    assert order(2) != drawn


def test_a_question_drawn_twice_in_a_step_is_sampled_anew(tiny_random_policy: Policy) -> None:
    batch = draw(tiny_random_policy, stage(), questions=PAIRS[:1])
    texts = [tuple(r.completion.token_ids for r in group.rollouts) for group in batch.groups]
    assert len(set(texts)) == 3


class EqualAtFirst(TransformersEngine):
    """Groups of one and the same completion in the first ``rounds`` calls."""

    rounds = 1

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        groups = super().generate(requests, sampling)
        if self.rounds <= 0:
            return groups
        self.rounds -= 1
        return [Group(g.prompt_ids, (g.completions[0],) * len(g.completions)) for g in groups]


@pytest.mark.parametrize(("rounds", "refill", "dropped"), [(1, 4, 3), (3, 1, 3), (1, 0, 0)])
def test_groups_of_equal_rewards_are_replaced_and_counted(
    tiny_random_policy: Policy, rounds: int, refill: int, dropped: int
) -> None:
    of = stage(refill_rounds=refill, rewards={"overlong": 1.0, "language": 1.0}, group_size=4)
    engine = EqualAtFirst(tiny_random_policy)
    engine.rounds = rounds
    with Graders() as graders:
        stream = Stream(Prompts(PAIRS, "tags", tiny_random_policy), seed=0)
        sampler = Sampler(engine, graders, make_mix(of.rewards), stage=of, stream=stream, seed=0)
        batch = sampler.draw(1)
    assert len(batch.groups) == 3
    assert len(batch.dropped) >= dropped
    assert not any(informative(group) for group in batch.dropped)
    assert stream.position == 3 + len(batch.dropped)
    assert [informative(group) for group in batch.groups] == [rounds <= refill] * 3


@pytest.mark.parametrize("refresh", ["never", "every", "ema"])
def test_the_reference_follows_as_asked(make_random_policy: Callable[..., Policy], refresh: Any) -> None:
    policy, second = make_random_policy(seed=0), make_random_policy(seed=1).model
    first = policy.model
    reference = make_reference(policy, config.Reference(refresh=refresh, steps=2, decay=0.75))
    reference.follow(second, 1)
    assert weights_hash(reference.model) == weights_hash(first)
    reference.follow(second, 2)
    weight = {"never": 0.0, "every": 1.0, "ema": 0.25}[refresh]
    for mine, old, new in zip(
        reference.model.parameters(), first.parameters(), second.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, (1 - weight) * old + weight * new)
        assert not mine.requires_grad


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_gradient_checkpointing_forgets_activations_and_changes_no_gradient(
    tiny_random_policy: Policy, beta: float
) -> None:
    of = stage(learning_rate=1.0, max_grad_norm=1e9, beta=beta)
    batch = draw(tiny_random_policy, of)
    whole = gradient(tiny_random_policy, of, batch)
    model: Any = tiny_random_policy.model
    model.gradient_checkpointing_enable({"use_reentrant": False})
    passes = []
    model.model.layers[1].mlp.register_forward_pre_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    torch.testing.assert_close(gradient(tiny_random_policy, of, batch), whole, rtol=0, atol=1e-5)
    learning = passes.count(True)
    assert learning >= 2  # forward, and again in the backward pass
    assert learning % 2 == 0
    drawn = draw(tiny_random_policy, of)
    assert drawn.groups == batch.groups


@pytest.mark.parametrize("refresh", ["never", "ema"])
def test_an_offloaded_reference_changes_no_number(
    make_random_policy: Callable[..., Policy], train: Callable[..., Outcome], tmp_path: Path, refresh: Any
) -> None:
    kept = []
    for offload in (False, True):
        every = {"steps": 1} if refresh == "ema" else {}
        of = stage(beta=0.1, reference=config.Reference(refresh=refresh, offload=offload, **every))
        train(make_random_policy(), of, name=str(offload))
        kept.append([[row["kl"], row["loss"]] for row in rows(tmp_path / str(offload))])
    assert kept[0] == kept[1]
    assert kept[0][1][0] > 0
