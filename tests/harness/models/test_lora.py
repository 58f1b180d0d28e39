"""Adapters against plain peft: the same gradient, the same merged weights, the base as reference."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from evals.base import io
from evals.base.errors import UsageError
from evals.engine import Request, Sampling
from evals.task import Question, Task
from harness import config
from harness.config import GRPO, Data, Experiment, LoRA
from harness.engines.hf import TransformersEngine
from harness.models import lora
from harness.models.policy import Policy, load_policy, save_policy, weights_hash
from harness.train import checkpoint
from harness.train.batching import Row
from harness.train.grpo.reference import make_reference
from harness.train.grpo.update import Updater
from harness.train.learners import train_stage
from harness.train.loop import StageRun
from harness.train.micro_batch import MicroBatch
from harness.train.run_dir import Run

SETTINGS = LoRA(rank=4, alpha=8)
QUESTIONS = [Question(str(i), f"{i} plus {i}?", str(2 * i)) for i in range(5)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")
PAIRS = [(TASK, question) for question in QUESTIONS]


@pytest.fixture
def base(tiny_random_policy: Policy, tmp_path: Path) -> Path:
    save_policy(tiny_random_policy, tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def load(base: Path) -> Callable[..., Policy]:
    def with_adapters(seed: int = 0, **settings: Any) -> Policy:
        chosen = config.Policy(model=str(base), device="cpu", template="tags", lora=SETTINGS, **settings)
        return load_policy(chosen, trainable=True, seed=seed)

    return with_adapters


def stage(**settings: Any) -> GRPO:
    chosen = {
        "steps": 3,
        "completions_per_step": 8,
        "group_size": 4,
        "learning_rate": 1e-2,
        "rewards": {"language": 1.0, "overlong": 1.0},
        "overlong_buffer": 14,
        "max_tokens": 16,
        "beta": 0.05,
        "checkpoint_every": 1,
        "keep_checkpoints": 9,
        **settings,
    }
    return GRPO(**chosen)


def train(policy: Policy, folder: Path, of: GRPO) -> Run:
    experiment = Experiment(
        name="lora",
        policy=config.Policy(model=policy.name, template="tags", lora=SETTINGS),
        data=Data(train="sums"),
        stages=[of],
    )
    run = Run(folder, experiment)
    try:
        train_stage(of, StageRun(run, policy, TransformersEngine(policy), PAIRS))
    finally:
        run.close()
    return run


def trained(policy: Policy) -> Policy:
    """With an adapter that does something."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for parameter in lora.adapter(policy.model).values():
            parameter.normal_(std=0.2)
    return policy


def test_an_untrained_adapter_adds_exactly_nothing(load: Callable[..., Policy], base: Path) -> None:
    ids = torch.tensor([[5, 6, 7]])
    plain = AutoModelForCausalLM.from_pretrained(base)
    policy = load()
    assert torch.equal(policy.model(ids).logits, plain(ids).logits)
    assert weights_hash(policy.model) == weights_hash(plain)
    learning = {name for name, p in policy.model.named_parameters() if p.requires_grad}
    assert learning == set(lora.adapter(policy.model))
    first = lora.adapter(policy.model)["model.layers.0.self_attn.q_proj.lora_A.default.weight"]
    assert torch.equal(first, next(iter(lora.adapter(load().model).values())))
    assert not torch.equal(first, next(iter(lora.adapter(load(seed=1).model).values())))


def test_a_gradient_is_that_of_plain_peft(load: Callable[..., Policy], base: Path) -> None:
    policy = trained(load())
    before = {name: p.detach().clone() for name, p in lora.adapter(policy.model).items()}
    wanted = peft.LoraConfig(
        r=4, lora_alpha=8, task_type="CAUSAL_LM", target_modules="all-linear", lora_dropout=0.0
    )
    theirs = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), wanted).eval()
    parameters = {k.removeprefix(lora.PREFIX): p for k, p in theirs.named_parameters() if ".lora_" in k}
    assert parameters.keys() == before.keys()
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(before[name])

    of = stage(aggregation="dr_grpo", beta=0.1, max_grad_norm=1e9, learning_rate=1.0)
    prompt, answers, advantages = (5, 6, 7), [(8, 9, 10), (11, 12)], [1.5, -0.5]
    loss = torch.zeros(())
    for answer, advantage in zip(answers, advantages, strict=True):
        ids = torch.tensor([prompt + answer])

        def logprobs(ids: torch.Tensor = ids, answer: tuple[int, ...] = answer) -> torch.Tensor:
            logits = theirs(ids).logits[0, len(prompt) - 1 : -1]
            return logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]

        mine = logprobs()
        with torch.no_grad(), theirs.disable_adapter():
            reference = logprobs()
        kl = (reference - mine).exp() - (reference - mine) - 1
        loss = loss + (-advantage * (mine - mine.detach()).exp() + 0.1 * kl).sum() / (2 * 16)
    loss.backward()

    updater = Updater(policy, of, _of_base(policy, of), MicroBatch(of.micro_batch_tokens))
    updater.optimizer = torch.optim.SGD(lora.adapter(policy.model).values(), lr=1.0)
    rows = [
        Row(i, 0, prompt, answer, advantage, sampler=(0.0,) * len(answer))
        for i, (answer, advantage) in enumerate(zip(answers, advantages, strict=True))
    ]
    found = updater.update(rows, 1, Path("none"))
    assert found["loss"] == pytest.approx(loss.item(), abs=1e-6)
    for name, parameter in lora.adapter(policy.model).items():
        grad = parameters[name].grad
        assert grad is not None
        assert grad.abs().max() > 0
        torch.testing.assert_close(before[name] - parameter, grad, rtol=1e-5, atol=1e-6)


def _of_base(policy: Policy, of: GRPO) -> Any:
    """The reference that a run's first stage has: made before anything was trained."""
    reference = make_reference(policy, of.reference)
    reference.restore(None)
    return reference


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_reference_is_the_base_and_then_what_it_is_refreshed_to(
    load: Callable[..., Policy], base: Path, dtype: Any
) -> None:
    policy = load(dtype=dtype)
    ids = torch.tensor([[5, 6, 7]])
    reference = make_reference(policy, config.Reference(refresh="every", steps=2))
    trained(policy)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype))
    own = policy.model(ids).logits
    with reference.applied():
        assert torch.equal(reference.model(ids).logits, plain(ids).logits)
    assert torch.equal(policy.model(ids).logits, own)
    reference.follow(policy.model, 1)
    assert reference.state() is None
    reference.follow(policy.model, 2)
    with torch.no_grad():
        for parameter in lora.adapter(policy.model).values():
            parameter.mul_(2)
    with reference.applied():
        assert torch.equal(reference.model(ids).logits, own)
    assert all(p.requires_grad for p in lora.adapter(policy.model).values())


def test_a_checkpoint_is_the_merged_model_and_pefts_adapter(
    load: Callable[..., Policy], base: Path, tmp_path: Path
) -> None:
    policy = trained(load())
    path = checkpoint.write(tmp_path / "checkpoints", 1, policy, {}, keep=1)
    merged = load_policy(config.Policy(model=str(path), device="cpu"))
    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), path / "adapter")
    plain = theirs.merge_and_unload().state_dict()
    assert weights_hash(merged.model) == weights_hash(policy.model)
    assert plain.keys() == merged.model.state_dict().keys()
    for name, tensor in merged.model.state_dict().items():
        torch.testing.assert_close(tensor, plain[name], rtol=0, atol=1e-7)
    alone = load_policy(config.Policy(model=str(path / "adapter"), device="cpu"))
    assert weights_hash(alone.model) == weights_hash(merged.model)
    assert not lora.is_adapted(alone.model)
    assert alone.tokenizer.get_vocab() == policy.tokenizer.get_vocab()
    (path / "adapter" / lora.WEIGHTS).write_bytes(b"")
    assert checkpoint.damage(path) == f"adapter/{lora.WEIGHTS} has changed"


def test_what_is_sampled_is_what_is_merged(load: Callable[..., Policy], tmp_path: Path) -> None:
    policy = trained(load())
    save_policy(policy, tmp_path / "merged")
    merged = load_policy(config.Policy(model=str(tmp_path / "merged"), device="cpu"))
    requests, sampling = [Request("1 plus 1?", 4, 0)], Sampling(max_tokens=12)
    (ours,), (theirs,) = (TransformersEngine(p).generate(requests, sampling) for p in (policy, merged))
    for mine, plain in zip(ours.completions, theirs.completions, strict=True):
        assert mine.token_ids == plain.token_ids
        assert mine.logprobs == pytest.approx(plain.logprobs, abs=1e-4)


def test_resumed_runs_have_the_same_bits_and_the_base_stays(
    load: Callable[..., Policy], base: Path, tmp_path: Path
) -> None:
    of = stage(reference=config.Reference(refresh="every", steps=2))
    before = weights_hash(load().model)
    policy = load()
    whole = train(policy, tmp_path / "whole", of)
    frozen = {k: v for k, v in policy.model.state_dict().items() if ".lora_" not in k}
    for name, tensor in load().model.state_dict().items():
        assert ".lora_" in name or torch.equal(tensor, frozen[name])
    assert weights_hash(policy.model) != before

    torn = train(load(), tmp_path / "torn", of)
    for step in (2, 3):  # as if it had been killed after its first checkpoint
        (torn.checkpoints / f"step-{step}" / "trainer.pt").unlink()
    train(load(seed=5), tmp_path / "torn", of)
    assert checkpoint.damage(torn.checkpoints / "step-3") is None
    for name in ("model.safetensors", f"adapter/{lora.WEIGHTS}"):
        ours, theirs = (run.checkpoints / "step-3" / name for run in (torn, whole))
        assert ours.read_bytes() == theirs.read_bytes()
    losses = [[row["loss"] for row in io.read_lines(run.metrics_path)] for run in (torn, whole)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"targets": ["q_proj", "qkv"]}, r"policy\.lora\.targets: .* 'qkv'.*accepted: q_proj, k_proj"),
        ({"targets": ["lm_head"]}, r"policy\.lora\.targets: .* 'lm_head'"),
        ({"rank": 25}, r"policy\.lora\.rank: 25 is larger than 24, the smaller dimension of .*k_proj"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(base: Path, settings: Any, words: str) -> None:
    chosen = config.Policy(model=str(base), device="cpu", lora=LoRA(**settings))
    with pytest.raises(UsageError, match=words):
        load_policy(chosen, trainable=True)


def test_the_size_of_adapters_is_told_before_they_are_made(tiny_random_policy: Policy) -> None:
    """Also of GPT-2, whose layers are no torch.nn.Linear."""
    gpt2 = GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=64))
    for model in (gpt2, tiny_random_policy.model):
        told = lora.size(SETTINGS, model)
        lora.attach(model, SETTINGS)
        assert told == sum(parameter.numel() for parameter in lora.adapter(model).values()) > 0


def test_a_moving_average_of_adapters_is_refused() -> None:
    raw = {
        "name": "x",
        "policy": {"model": "tiny", "lora": {"rank": 2}},
        "data": {"train": "tiny-sums"},
        "stages": [{"kind": "grpo", "beta": 0.1, "reference": {"refresh": "ema"}}],
    }
    with pytest.raises(UsageError, match=r"grpo\.reference\.refresh.*never, every"):
        config.validate(raw, "x.toml")
    copied = copy.deepcopy(raw)
    copied["stages"][0]["reference"]["refresh"] = "every"  # type: ignore[index]
    assert config.validate(copied, "x.toml").policy.lora == LoRA(rank=2)


def test_an_adapter_without_a_base_or_of_another_model_is_refused(
    load: Callable[..., Policy], make_random_policy: Callable[..., Policy], base: Path, tmp_path: Path
) -> None:
    lora.save(load().model, str(base), tmp_path / "adapter")
    file = tmp_path / "adapter" / lora.SETTINGS
    settings = json.loads(file.read_text())
    save_policy(make_random_policy(hidden_size=64), tmp_path / "other")
    for name, words in (
        (str(tmp_path / "other"), "does not fit its base model"),
        (None, "has no base_model"),
        (str(tmp_path / "adapter"), "names itself"),
    ):
        file.write_text(json.dumps({**settings, "base_model_name_or_path": name}))
        with pytest.raises(UsageError, match=words):
            load_policy(config.Policy(model=str(tmp_path / "adapter"), device="cpu"))
    file.write_text("{")
    with pytest.raises(UsageError, match="not a valid adapter configuration"):
        load_policy(config.Policy(model=str(tmp_path / "adapter"), device="cpu"))


def test_merging_into_a_bfloat16_base_rounds_nothing_away(
    load: Callable[..., Policy], tmp_path: Path
) -> None:
    policy = load(dtype="bfloat16")
    with torch.no_grad():
        for name, parameter in lora.adapter(policy.model).items():
            # Far below what bfloat16 tells apart beside a weight of the base.
            parameter.fill_(1e-3 if ".lora_B." in name else 1e-2)
    model: Any = policy.model
    layer = model.model.layers[0].self_attn.q_proj
    base = layer.base_layer.weight
    assert base.dtype == torch.bfloat16
    expected = base.float() + 2 * (layer.lora_B["default"].weight @ layer.lora_A["default"].weight)
    assert (expected.bfloat16() == base).float().mean() > 0.5  # merged in its dtype little would be left
    name = "model.layers.0.self_attn.q_proj.weight"
    merged = dict(lora.merged(model, model.state_dict().items()))[name]
    assert merged.dtype == torch.float32
    torch.testing.assert_close(merged, expected, rtol=0, atol=1e-9)
    path = checkpoint.write(tmp_path, 1, policy, {}, keep=1)
    torch.testing.assert_close(load_file(path / "model.safetensors")[name], expected, rtol=0, atol=1e-9)
