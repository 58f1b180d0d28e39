"""The stage: its loss against TRL's trainer, its gradient, resumption, cost, refusals."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from evals.base import io
from evals.base.errors import UsageError
from evals.base.progress import Progress
from evals.engine import Completion
from evals.task import Question, Task
from harness import config
from harness.config import GRPO, Budget, Data, Experiment, OnPolicyDistill
from harness.models.policy import Policy, save_policy, weights_hash
from harness.train.batching import Row
from harness.train.distil.teacher import LocalTeacher, Teacher, make_teacher
from harness.train.distil.update import DistilUpdater, Lesson
from harness.train.ledger import stage_costs
from harness.train.micro_batch import MicroBatch
from harness.train.pipeline import run_experiment
from tests.harness.train.test_glossary import NOT_METRICS, unexplained

MakePolicy = Callable[..., Policy]


def stage(folder: Path | str = "t", **settings: Any) -> OnPolicyDistill:
    usual = {"steps": 4, "completions_per_step": 8, "group_size": 4, "max_tokens": 6, "learning_rate": 1e-3}
    return OnPolicyDistill(teacher=config.Policy(model=str(folder)), **{**usual, **settings})


def lesson(seed: int = 0) -> Lesson:
    """Two prompts with three completions each, of several lengths."""
    rng = torch.Generator().manual_seed(seed)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(250, (count,), generator=rng).tolist())

    prompts = [ids(5), ids(9)]
    rows = tuple(Row(i, i // 3, prompts[i // 3], ids(2 + i)) for i in range(6))
    learned = tuple((True,) * len(row.completion_ids) for row in rows)
    return Lesson(rows, learned, torch.zeros(6), (None,) * 6)


def updated(policy: Policy, teacher: Policy, of: OnPolicyDistill, batch: Lesson, budget: int = 16384) -> Any:
    """Metrics and gradients of one update with a learning rate of almost 0."""
    quiet = of.model_copy(update={"learning_rate": 1e-12, "max_grad_norm": 1e9})
    updater = DistilUpdater(policy, quiet, LocalTeacher(teacher, quiet, policy), MicroBatch(budget))
    kept: list[torch.Tensor] = []

    def keep(*_: Any) -> None:
        kept.append(torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None]))

    updater.optimizer.register_step_pre_hook(keep)
    return updater.update(batch, 1), kept[0]


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_loss_and_gradient_are_those_of_trls_trainer(make_random_policy: MakePolicy, beta: float) -> None:
    pytest.importorskip("trl", reason="TRL is a development dependency")
    from trl.trainer.distillation_trainer import DistillationTrainer

    policy, teacher, batch = make_random_policy(0), make_random_policy(1, hidden_size=64), lesson()
    peer = copy.deepcopy(policy.model)
    metrics, gradient = updated(policy, teacher, stage(divergence="jsd", jsd_beta=beta), batch)

    trainer: Any = object.__new__(DistillationTrainer)
    for name, value in {
        "beta": beta,
        "temperature": 1.0,
        "_is_vlm": False,
        "model_kwarg_keys": set(),
        "teacher_model": teacher.model,
        "accelerator": SimpleNamespace(unwrap_model=lambda model: model, is_main_process=False),
        "args": SimpleNamespace(report_to=[]),
        "_forward_redirection": lambda _outer, _inner, work, *given, **named: work(*given, **named),
        "_metrics": {"train": defaultdict(list)},
    }.items():
        setattr(trainer, name, value)
    loss, entropy, tokens = trainer._compute_loss(peer, padded(batch), batch.tokens)
    loss.backward()
    theirs = torch.cat([p.grad.flatten() for p in peer.parameters() if p.grad is not None])
    assert metrics["loss"] == pytest.approx(loss.item(), abs=1e-6)
    assert metrics["divergence"] == pytest.approx(loss.item(), abs=1e-6)
    assert metrics["entropy"] == pytest.approx(float(entropy / tokens), abs=1e-5)
    torch.testing.assert_close(gradient, theirs, rtol=1e-4, atol=1e-6)


def padded(batch: Lesson) -> dict[str, torch.Tensor]:
    """As TRL has it: prompts padded on the left, completions on the right."""
    prompt = max(len(row.prompt_ids) for row in batch.rows)
    width = max(len(row.completion_ids) for row in batch.rows)
    found = {"prompt_ids": [], "prompt_mask": [], "completion_ids": [], "completion_mask": []}  # type: ignore[var-annotated]
    for row in batch.rows:
        left, right = prompt - len(row.prompt_ids), width - len(row.completion_ids)
        found["prompt_ids"].append([0] * left + list(row.prompt_ids))
        found["prompt_mask"].append([0] * left + [1] * len(row.prompt_ids))
        found["completion_ids"].append(list(row.completion_ids) + [0] * right)
        found["completion_mask"].append([1] * len(row.completion_ids) + [0] * right)
    return {name: torch.tensor(value) for name, value in found.items()}


def test_sampled_tokens_are_weighed_by_the_stopped_log_ratio(make_random_policy: MakePolicy) -> None:
    policy, teacher, batch = make_random_policy(0), make_random_policy(1), lesson()
    batch = Lesson(batch.rows, batch.learned, torch.tensor([1.0, -1.0, 0.0, 0.5, 0.0, 0.0]), batch.sampler)
    peer = copy.deepcopy(policy.model)
    metrics, gradient = updated(policy, teacher, stage(weight=0.7), batch)
    loss, behind = torch.zeros(()), []
    for row in batch.rows:
        ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
        first, targets = len(row.prompt_ids) - 1, torch.tensor(row.completion_ids)
        mine, theirs = (
            torch.log_softmax(model(ids).logits[0, first:-1], 1).gather(1, targets[:, None])[:, 0]
            for model in (peer, teacher.model)
        )
        advantages = batch.advantages[row.index] + 0.7 * (theirs - mine).detach()
        loss = loss - (advantages * mine).sum() / batch.tokens
        behind.append((mine - theirs).detach())
    loss.backward()
    wanted = torch.cat([p.grad.flatten() for p in peer.parameters() if p.grad is not None])
    assert metrics["loss"] == pytest.approx(loss.item(), abs=1e-5)
    assert metrics["divergence"] == pytest.approx(float(torch.cat(behind).mean()), abs=1e-5)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{}, {"divergence": "jsd"}, {"divergence": "jsd", "teacher_top_k": 3, "jsd_beta": 0.0}]
)
def test_micro_batches_do_not_change_it(make_random_policy: MakePolicy, settings: dict[str, Any]) -> None:
    teacher, batch = make_random_policy(1), lesson(3)
    whole, one = updated(make_random_policy(0), teacher, stage(**settings), batch)
    cut, other = updated(make_random_policy(0), teacher, stage(**settings), batch, budget=20)
    assert cut["loss"] == pytest.approx(whole["loss"], abs=1e-5)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def experiment(folder: Path, of: OnPolicyDistill, **settings: Any) -> Experiment:
    data = Data(train=["tiny-aime:train[:20]"], dev=["tiny-aime:dev[:2]"], dev_samples=1)
    policy = config.Policy(model=str(folder / "student"), template="tags")
    return Experiment(
        name="test", policy=policy, data=data, stages=[of], tracking=config.Tracking(wandb="off"), **settings
    )


@pytest.fixture
def models(make_random_policy: MakePolicy, tmp_path: Path) -> Path:
    save_policy(make_random_policy(0), tmp_path / "student")
    save_policy(make_random_policy(1, hidden_size=64), tmp_path / "teacher")
    return tmp_path


def rows_of(run: Path) -> list[dict[str, Any]]:
    clock = ("time", "memory_gib", "seconds/", "mfu")
    return [
        {name: value for name, value in row.items() if not name.startswith(clock)}
        for row in io.read_lines(run / "metrics.jsonl")
    ]


def test_it_comes_nearer_to_its_teacher_and_counts_what_that_read(models: Path) -> None:
    of = stage(
        models / "teacher",
        steps=12,
        completions_per_step=16,
        learning_rate=3e-3,
        divergence="jsd",
        jsd_beta=1.0,
    )
    assert run_experiment(experiment(models, of), models / "run", Progress(quiet=True)) == "done"
    rows = rows_of(models / "run")
    assert rows[-1]["divergence"] < 0.8 * rows[0]["divergence"]
    assert rows[0]["reward/accuracy"] == 0
    written = {name for row in io.read_lines(models / "run" / "metrics.jsonl") for name in row}
    assert unexplained(written - NOT_METRICS) == set()
    mine, theirs = stage_costs(models / "run", [of])
    assert (mine.stage, mine.teacher, theirs.stage, theirs.teacher) == (
        of.name, False, f"{of.name}-teacher", True,
    )  # fmt: skip
    assert mine.tokens == theirs.tokens == sum(row["tokens"] for row in rows)
    assert mine.flops == pytest.approx(sum(row["flops/rollout"] + row["flops/update"] for row in rows))
    assert theirs.flops == pytest.approx(sum(row["flops/teacher"] for row in rows))
    assert theirs.flops > mine.flops / 8


def test_a_budget_counts_the_teacher_or_does_not(models: Path) -> None:
    of = stage(models / "teacher", steps=6)
    run_experiment(experiment(models, of), models / "run", Progress(quiet=True))
    own, read = (cost.flops for cost in stage_costs(models / "run", [of]))
    for teacher, step in ((True, (own + read) / 6), (False, own / 6)):
        limited = experiment(models, of, budget=Budget(limit=2.5 * step, teacher=teacher))
        folder = models / f"budget-{teacher}"
        run_experiment(limited, folder, Progress(quiet=True))
        assert len(rows_of(folder)) in (2, 3, 4)
        spent = sum(cost.flops for cost in stage_costs(folder, [of]) if teacher or not cost.teacher)
        assert spent >= 2.5 * step


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"divergence": "jsd", "student_share": 0.5, "data": "tiny-traces", "max_tokens": 4},
        {"divergence": "jsd", "teacher_top_k": 4, "rewards": {"accuracy": 1.0, "format": 0.2}},
    ],
)
def test_it_resumes_to_the_same_bits(models: Path, settings: dict[str, Any]) -> None:
    of = stage(models / "teacher", steps=4, checkpoint_every=2, **settings)
    whole, parts = models / "whole", models / "parts"
    run_experiment(experiment(models, of), whole, Progress(quiet=True))

    from harness.models.policy import load_policy
    from harness.train import pipeline

    stops = iter([None, None, None, "away"])
    original = pipeline._stop_reason
    pipeline._stop_reason = lambda _folder: next(stops)
    try:
        assert run_experiment(experiment(models, of), parts, Progress(quiet=True)) == "pruned"
    finally:
        pipeline._stop_reason = original
    (parts / "status.json").unlink()
    assert run_experiment(experiment(models, of), parts, Progress(quiet=True)) == "done"
    assert rows_of(parts) == rows_of(whole)
    ends = [
        load_policy(config.Policy(model=str(run / "checkpoints" / "step-4"))).model for run in (whole, parts)
    ]
    assert weights_hash(ends[0]) == weights_hash(ends[1])


def test_another_tokenizer_is_refused(models: Path, make_random_policy: MakePolicy) -> None:
    other = make_random_policy(1)
    tokenizer = copy.deepcopy(other.tokenizer)
    tokenizer.add_tokens(["<new>"])
    save_policy(Policy(other.model, tokenizer, "other"), models / "other")
    with pytest.raises(
        UsageError, match=r"on_policy_distill.teacher: .*other has another tokenizer than .*1 e"
    ):
        make_teacher(stage(models / "other"), make_random_policy(0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jsd_beta": 0.1}, 'jsd_beta has no effect with divergence = "sampled"'),
        ({"divergence": "jsd", "student_share": 0.5}, "student_share below 1 and data"),
        ({"divergence": "jsd", "student_share": 0.3, "data": "x"}, "must be a multiple of group_size"),
        ({"rewards": {}}, "at least one reward function"),
        ({"teacher": {"model": "x", "template": "tags"}}, "teacher.template has no effect"),
        (
            {"teacher": {"model": "x", "server": "http://localhost:1/v1"}, "divergence": "jsd"},
            "teacher_top_k: a server returns",
        ),
        (
            {"teacher": {"model": "x", "server": "http://localhost:1/v1"}, "temperature": 0.7},
            "temperature: a server returns log-probabilities",
        ),
    ],
)
def test_what_cannot_run_is_refused(settings: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {"teacher": {"model": "x"}, "completions_per_step": 8}
    with pytest.raises(ValidationError, match=message):
        OnPolicyDistill(**{**usual, **settings})


def test_truncated_completions_can_be_left_out(make_random_policy: MakePolicy) -> None:
    from harness.train.distil.stage import lesson_of
    from harness.train.grpo.rollout import Batch
    from harness.train.rollouts import RolloutGroup
    from harness.train.stream import Prompt

    ended = Completion("a", (1, 2), (-0.1, -0.2), "stop")
    cut = Completion("b", (3, 4), (-0.1, -0.2), "length")
    task = Task("t", "T", "integer", ("train",), "train", lambda split: [], source="here")
    prompt = Prompt(task, Question("q", "?", "1"), "?")
    group = RolloutGroup.of(prompt, (9,), (ended, cut), GRPO())
    batch = Batch((group,), (), 0.0, 0.0).weighed(torch.zeros(1, 2))
    found = lesson_of(batch, [], stage(mask_truncated=True))
    assert found.learned == ((True, True), (False, False))
    assert found.tokens == 2


class Nothing(Teacher):
    """Its shape is not known."""

    shape = None

    def read(self, rows: Any, micro_batch: Any) -> None:
        return

    def logprobs(self, row: Row) -> torch.Tensor:
        return torch.zeros(len(row.completion_ids))

    def distribution(self, rows: Any) -> Any:
        raise NotImplementedError


def test_flops_of_an_unknown_teacher_are_not_a_number(make_random_policy: MakePolicy, tmp_path: Path) -> None:
    of, policy = stage(), make_random_policy()
    metrics = DistilUpdater(policy, of, Nothing(), MicroBatch(16384)).update(lesson(), 1)
    assert "flops/teacher" not in metrics
    io.append_line(tmp_path / "metrics.jsonl", {"step": 1, "stage": of.name, **metrics})
    _, theirs = stage_costs(tmp_path, [of])
    assert theirs.flops != theirs.flops
    assert theirs.tokens == lesson().tokens
