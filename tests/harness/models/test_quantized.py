"""Frozen weights in four bits under adapters: what is trained, sampled, saved, resumed and planned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from evals.base import io
from evals.base.errors import UsageError
from evals.task import Question, Task
from harness import config
from harness.config import GRPO, Data, Experiment, LoRA
from harness.engines.hf import TransformersEngine
from harness.models import lora, quantized
from harness.models.flops import shape_of
from harness.models.policy import Policy, load_policy, save_policy, weights_hash
from harness.train.learners import train_stage
from harness.train.loop import StageRun
from harness.train.run_dir import Run

QUESTIONS = [Question(str(i), f"{i} plus {i}?", str(2 * i)) for i in range(5)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")
PAIRS = [(TASK, question) for question in QUESTIONS]


@pytest.fixture
def settings(make_random_policy: Callable[..., Policy], tmp_path: Path) -> config.Policy:
    pytest.importorskip("bitsandbytes")
    wide = make_random_policy(hidden_size=64, intermediate_size=128)
    save_policy(wide, tmp_path / "base")
    return config.Policy(
        model=str(tmp_path / "base"), device="cpu", template="tags", quantization="nf4", lora=LoRA(rank=4)
    )


def trained(policy: Policy) -> Policy:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for parameter in lora.adapter(policy.model).values():
            parameter.normal_(std=0.1)
    return policy


def layers(policy: Policy) -> dict[str, Any]:
    return {name: p for name, p in policy.model.named_parameters() if quantized.is_quantized(p)}


def test_linear_layers_are_codes_and_nothing_else_is(settings: config.Policy) -> None:
    policy = load_policy(settings, trainable=True)
    plain = load_policy(settings.model_copy(update={"quantization": None}), trainable=True)
    assert len(layers(policy)) == 14  # seven in each of two layers
    assert not layers(plain)
    assert all(".self_attn." in name or ".mlp." in name for name in layers(policy))
    assert {p.dtype for p in layers(policy).values()} == {torch.uint8}
    assert {name for name, p in policy.model.named_parameters() if p.requires_grad} == set(
        lora.adapter(policy.model)
    )
    assert shape_of(policy.model) == shape_of(plain.model)
    codes = sum(p.numel() for p in layers(policy).values())
    assert 2 * codes == sum(quantized.shape(p).numel() for p in layers(policy).values())


def test_the_policy_is_the_model_of_its_dequantised_weights(settings: config.Policy, tmp_path: Path) -> None:
    policy = trained(load_policy(settings, trainable=True))
    save_policy(policy, tmp_path / "saved")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert "quantization_config" not in merged.config.to_dict()
    ids = torch.arange(60)[None]
    with torch.no_grad():
        ours, theirs = policy.model(input_ids=ids).logits, merged(input_ids=ids).logits
        base = AutoModelForCausalLM.from_pretrained(settings.model)(input_ids=ids).logits
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert (ours - base).abs().mean() > 0.01
    assert weights_hash(policy.model) == weights_hash(merged)
    before = weights_hash(policy.model)
    trained(policy)
    assert weights_hash(policy.model) == before
    with torch.no_grad():
        next(iter(lora.adapter(policy.model).values())).add_(1e-3)
    assert weights_hash(policy.model) != before


def train(settings: config.Policy, folder: Path, ahead: bool = False, **changes: Any) -> Run:
    policy = load_policy(settings, trainable=True)
    of = GRPO(
        steps=3, completions_per_step=8, group_size=4, learning_rate=1e-2, beta=0.05, checkpoint_every=1,
        rewards={"language": 1.0, "overlong": 1.0}, overlong_buffer=14, max_tokens=16,
        **({"rollout_ahead": 1, "sampler_correction": 2.0} if ahead else {}),
    )  # fmt: skip
    experiment = Experiment(name="codes", policy=settings, data=Data(train="sums"), stages=[of])
    run = Run(folder, experiment)
    try:
        engine = TransformersEngine(policy, own_weights=ahead)
        train_stage(of, StageRun(run, policy, engine, PAIRS, **changes))
    finally:
        run.close()
    return run


@pytest.mark.parametrize("ahead", [False, True])
def test_a_run_learns_probes_and_resumes_to_the_same_bits(
    settings: config.Policy, tmp_path: Path, ahead: bool
) -> None:
    whole = train(settings, tmp_path / "whole", ahead)
    left = iter([None, "enough"])
    train(settings, tmp_path / "pieces", ahead, should_stop=lambda: next(left))
    pieces = train(settings, tmp_path / "pieces", ahead)
    rows = [list(io.read_lines(run.folder / "metrics.jsonl")) for run in (whole, pieces)]
    for name in ("loss", "kl", "reward", "drift", "grad_norm"):
        assert [row[name] for row in rows[0]] == [row[name] for row in rows[1]]
    # An engine that samples the policy's own module is probed once a launch, any other after each sync.
    probed = [row["probe/drift"] for row in rows[0] if "probe/drift" in row]
    assert len(probed) == (len(rows[0]) if ahead else 1)
    assert max(probed) < 1e-4
    assert rows[1][0]["probe/drift"] == probed[0]
    assert rows[0][-1]["kl"] > 0
    saved = [
        AutoModelForCausalLM.from_pretrained(run.checkpoints / "step-3").state_dict()
        for run in (whole, pieces)
    ]
    assert all(torch.equal(saved[0][name], saved[1][name]) for name in saved[0])


def test_quantised_weights_are_nothing_to_train(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="quantization needs lora"):
        config.Policy(model="tiny", quantization="nf4")


def test_an_adapter_is_merged_before_anything_is_quantised(settings: config.Policy, tmp_path: Path) -> None:
    policy = load_policy(settings.model_copy(update={"quantization": None}), trainable=True)
    lora.save(trained(policy).model, policy.name, tmp_path / "adapter")
    over = settings.model_copy(update={"model": str(tmp_path / "adapter")})
    with pytest.raises(UsageError, match=r"policy\.quantization: policy\.model is an adapter"):
        load_policy(over, trainable=True)


def test_without_bitsandbytes_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.quantized.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'grpo.optimizer: .*pip install "grpo-harness\[bitsandbytes\]"'):
        quantized.check_installed("grpo.optimizer")
