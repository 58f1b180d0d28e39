"""Which parameters decay, and what the learning rate is at each step."""

from __future__ import annotations

import io
from typing import Any, cast

import pytest
import torch
from transformers import GptOssConfig, GptOssForCausalLM

from harness.config import GRPO
from harness.models.sharding import load_optimizer
from harness.train import optimizer as optimizer_module
from harness.train.optimizer import learning_rate_at, make_optimizer, take_step


def test_matrices_decay_and_biases_do_not_even_stacked_ones() -> None:
    settings = GptOssConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        num_local_experts=2,
        num_experts_per_tok=1,
        pad_token_id=0,
    )
    model = GptOssForCausalLM(settings)  # type: ignore[no-untyped-call]
    optimizer = make_optimizer(cast(torch.nn.Module, model), GRPO(weight_decay=0.1))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, kept = ([names[id(p)] for p in group["params"]] for group in optimizer.param_groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert {"model.embed_tokens.weight", "model.layers.0.mlp.experts.gate_up_proj"} <= set(decayed)
    assert {"model.layers.0.mlp.experts.gate_up_proj_bias", "model.norm.weight"} <= set(kept)
    assert len(decayed) + len(kept) == len(names)
    assert not any("bias" in name for name in decayed)


def test_warm_up_begins_above_zero_and_reaches_the_peak_at_its_last_step() -> None:
    stage = GRPO(steps=8, learning_rate=1.0, warmup_steps=4, schedule="linear")
    rates = [learning_rate_at(stage, step) for step in range(1, 9)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25])


def steps(optimizer: torch.optim.Optimizer, stage: GRPO, model: torch.nn.Module, count: int = 4) -> None:
    for step in range(count):
        for number, parameter in enumerate(model.parameters()):
            rng = torch.Generator().manual_seed(100 * step + number)
            parameter.grad = torch.randn(parameter.shape, generator=rng)
        take_step(optimizer, stage)


def small_model() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(*(torch.nn.Linear(80, 80) for _ in range(4)))


@pytest.mark.parametrize("kind", ["adamw", "adamw8bit"])
def test_moments_that_visit_piece_by_piece_give_the_same_bits(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "adamw8bit":
        pytest.importorskip("bitsandbytes")
    monkeypatch.setattr("harness.train.optimizer.PIECE", 10_000)  # one layer's weight fits, two do not
    found, moved = [], []
    to_device = optimizer_module._move

    def counted(optimizer: torch.optim.Optimizer, parameters: Any, device: torch.device) -> None:
        moved.append(sum(p.numel() for p in parameters))
        to_device(optimizer, parameters, device)

    monkeypatch.setattr(optimizer_module, "_move", counted)
    for offload in (False, True):
        model = small_model()
        stage = GRPO(learning_rate=1e-2, weight_decay=0.1, optimizer=kind, offload_optimizer=offload)
        optimizer = make_optimizer(model, stage)
        groups = [list(group["params"]) for group in optimizer.param_groups]
        steps(optimizer, stage, model)
        assert [group["params"] for group in optimizer.param_groups] == groups
        found.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*found)
    assert not torch.equal(found[0], torch.cat([p.detach().flatten() for p in small_model().parameters()]))
    assert max(moved) <= 10_000
    assert len(moved) == 2 * 4 * 5  # in and out, four steps, four weights and all the biases


def test_eight_bits_are_close_to_float32_and_resume_to_the_same_bits() -> None:
    pytest.importorskip("bitsandbytes")
    ends = {}
    for kind in ("adamw", "adamw8bit"):
        model, stage = small_model(), GRPO(learning_rate=1e-2, optimizer=kind)  # type: ignore[arg-type]
        optimizer = make_optimizer(model, stage)
        steps(optimizer, stage, model)
        ends[kind] = torch.cat([p.detach().flatten() for p in model.parameters()])
    start = torch.cat([p.detach().flatten() for p in small_model().parameters()])
    moved, apart = (ends["adamw"] - start).norm(), (ends["adamw8bit"] - ends["adamw"]).norm()
    assert 0 < apart < 0.1 * moved
    state = optimizer.state[next(model.parameters())]
    assert {state["state1"].dtype, state["state2"].dtype} == {torch.uint8}

    again = small_model()
    again.load_state_dict(model.state_dict())
    resumed = make_optimizer(again, stage)
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    saved.seek(0)
    load_optimizer(resumed, torch.load(saved, weights_only=True))
    for of, its in ((optimizer, model), (resumed, again)):
        steps(of, stage, its, 2)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
