"""Every architecture is right, or refused in one sentence before anything is trained.

Right: training's rows, its shared prompts and the engine's left-padded decoding find the log-probabilities of
one plain forward pass; what is saved is what was trained; a resumed run has the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from evals.base.errors import UsageError
from evals.engine import Request, Sampling
from evals.task import Question, Task
from harness import config
from harness.cli import doctor
from harness.config import GRPO, SFT, Data, Experiment, LoRA
from harness.engines.hf import TransformersEngine
from harness.models import lora
from harness.models.policy import Policy, load_policy, save_policy, weights_hash
from harness.train import checkpoint
from harness.train.batching import Block, Row
from harness.train.forward import Scorer
from harness.train.learners import train_stage
from harness.train.loop import StageRun
from harness.train.micro_batch import MicroBatch
from harness.train.run_dir import Run
from harness.train.sft.stage import SftUpdater
from harness.train.sft.stored import Tokens
from tests.harness.models.architectures import LATENT, LONGROPE, MIXTURE, RIGHT, save

QUESTIONS = [Question(str(i), f"{i} plus {i}?", str(2 * i)) for i in range(4)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")
TEMPERATURE = 0.7
EXACT = 3e-5
"""Nats: what float32 makes of the same sum in another order."""

Make = Callable[..., Path]


@pytest.fixture
def make(byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Make:
    """``make(kind, settings)`` -> the folder of such a model."""
    return lambda kind, settings: save(kind, settings, byte_tokenizer, tmp_path / kind)


def load(folder: Path, adapters: LoRA | None = None) -> Policy:
    return load_policy(config.Policy(model=str(folder), device="cpu", lora=adapters), trainable=True)


def plain(policy: Policy, prompt: tuple[int, ...], completion: tuple[int, ...]) -> torch.Tensor:
    """One row alone through the whole model, in plain PyTorch."""
    policy.model.eval()
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([[*prompt, *completion]]), use_cache=False).logits[0]
    scores = torch.log_softmax(logits.double() / TEMPERATURE, dim=-1)[len(prompt) - 1 : -1]
    return scores.gather(1, torch.tensor(completion)[:, None])[:, 0].float()


def rows() -> tuple[Row, ...]:
    """Two groups of two, no two of one length."""
    source = torch.Generator().manual_seed(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(0, 250, (count,), generator=source).tolist())

    prompts = (ids(30), ids(9))
    return tuple(Row(i, i // 2, prompts[i // 2], ids(count)) for i, count in enumerate((25, 11, 19, 40)))


def off(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True))


def train(policy: Policy, folder: Path) -> Run:
    """Two GRPO steps, each with a checkpoint."""
    stage = GRPO(
        steps=2,
        completions_per_step=4,
        group_size=2,
        learning_rate=1e-2,
        rewards={"language": 1.0, "overlong": 1.0},
        overlong_buffer=6,
        max_tokens=8,
        beta=0.05,
        checkpoint_every=1,
        keep_checkpoints=9,
    )
    experiment = Experiment(
        name="x",
        policy=config.Policy(model=policy.name, template="tags"),
        data=Data(train="sums"),
        stages=[stage],
    )
    run = Run(folder, experiment)
    try:
        pairs = [(TASK, question) for question in QUESTIONS]
        train_stage(stage, StageRun(run, policy, TransformersEngine(policy), pairs))
    finally:
        run.close()
    return run


@pytest.mark.parametrize(("name", "kind", "settings"), RIGHT, ids=[row[0] for row in RIGHT])
def test_an_architecture_is_right(
    name: str, kind: str, settings: dict[str, Any], make: Make, tmp_path: Path
) -> None:
    folder = make(kind, settings)
    policy = load(folder)
    asked = rows()

    scorer = Scorer(policy.model, policy, TEMPERATURE)
    wanted = [plain(policy, row.prompt_ids, row.completion_ids) for row in asked]
    assert off(scorer.score([Block((asked,), False)], 4), wanted) < EXACT
    assert scorer.may_share
    assert off(scorer.score([Block((asked,), True)], 4), wanted) < EXACT

    requests = [Request("Compute 3 + 4. " * 3, 3, 7), Request("hi", 2, 9), Request("What is it?", 1, 1)]
    sampling = Sampling(temperature=TEMPERATURE, max_tokens=36)
    for group in TransformersEngine(policy).generate(requests, sampling):
        for completion in group.completions:
            scores = [torch.tensor(completion.logprobs)]
            assert off(scores, [plain(policy, group.prompt_ids, completion.token_ids)]) < EXACT

    sft = SftUpdater(policy, SFT(data="x", steps=1, learning_rate=1e-3), MicroBatch(64))
    found = sft.update(
        [Tokens(row.prompt_ids, row.completion_ids, (True,) * len(row.completion_ids)) for row in asked], 1
    )
    mean = sum(float(values.sum()) for values in plain_at_one(load(folder), asked))
    assert found["loss"] == pytest.approx(-mean / found["tokens"], abs=1e-4)

    whole = train(load(folder), tmp_path / "whole")
    torn = train(load(folder), tmp_path / "torn")
    (torn.checkpoints / "step-2" / "trainer.pt").unlink()  # as if it had been killed after its first
    resumed = load(folder)
    train(resumed, tmp_path / "torn")
    bits = [(run.checkpoints / "step-2" / "model.safetensors").read_bytes() for run in (whole, torn)]
    assert bits[0] == bits[1]
    assert checkpoint.damage(torn.checkpoints / "step-2") is None
    assert weights_hash(load(torn.checkpoints / "step-2").model) == weights_hash(resumed.model)


def plain_at_one(policy: Policy, asked: tuple[Row, ...]) -> list[torch.Tensor]:
    """Log-probabilities at temperature 1, by transformers' own loss convention."""
    policy.model.eval()
    found = []
    for row in asked:
        ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
        labels = ids.clone()
        labels[0, : len(row.prompt_ids)] = -100
        with torch.no_grad():
            loss = policy.model(input_ids=ids, labels=labels, use_cache=False).loss
        found.append(-loss * len(row.completion_ids))
    return found


@pytest.mark.parametrize(("name", "kind", "settings"), RIGHT, ids=[row[0] for row in RIGHT])
def test_its_adapters_are_saved_as_they_were_trained(
    name: str, kind: str, settings: dict[str, Any], make: Make, tmp_path: Path
) -> None:
    policy = load(make(kind, settings), LoRA(rank=2, alpha=4))
    assert not any("expert" in name or "gate." in name for name in lora.adapter(policy.model))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for parameter in lora.adapter(policy.model).values():
            parameter.normal_(std=0.1)
    save_policy(policy, tmp_path / "merged")
    merged = load(tmp_path / "merged")
    asked = rows()
    trained = [plain(policy, row.prompt_ids, row.completion_ids) for row in asked]
    assert off([plain(merged, row.prompt_ids, row.completion_ids) for row in asked], trained) < 1e-3
    bare = load(tmp_path / kind)
    assert off([plain(bare, row.prompt_ids, row.completion_ids) for row in asked], trained) > 0.01


UNTRAINABLE: list[tuple[str, dict[str, Any], str]] = [
    ("gemma2", {"head_dim": 16}, "changes its logits after"),
    ("cohere", {}, "changes its logits after"),
    ("granite", {"logits_scaling": 8.0}, "changes its logits after"),
    (
        "gptj",
        {"n_embd": 64, "n_layer": 2, "n_head": 4, "rotary_dim": 8},
        "a bias in its vocabulary projection",
    ),
    ("bert", {}, "a bias in its vocabulary projection"),
]


@pytest.mark.parametrize(("kind", "settings", "words"), UNTRAINABLE, ids=[row[0] for row in UNTRAINABLE])
def test_what_cannot_be_trained_is_refused(
    kind: str, settings: dict[str, Any], words: str, make: Make
) -> None:
    policy = load(make(kind, settings))
    with pytest.raises(UsageError, match=f"policy.model: .*{words}"):
        Scorer(policy.model, policy, 1.0)


def test_a_soft_cap_is_seen_while_logits_are_small(make: Make) -> None:
    policy = load(make("gemma2", {"head_dim": 16, "initializer_range": 0.001}))
    with pytest.raises(UsageError, match="soft cap"):
        Scorer(policy.model, policy, 1.0)


def test_a_model_that_looks_ahead_is_refused(make: Make) -> None:
    policy = load(make("llama", {}))
    for layer in policy.model.model.layers:
        layer.self_attn.is_causal = False
    with pytest.raises(UsageError, match="others are beside it"):
        Scorer(policy.model, policy, 1.0)


HERE = "cannot be sampled by the transformers engine"
UNSAMPLED: list[tuple[str, dict[str, Any], str]] = [
    ("gemma2", {"head_dim": 16}, "layers are of kind"),
    ("gpt_oss", {**MIXTURE, "num_local_experts": 4}, "layers are of kind"),
    (
        "gpt_oss",
        {**MIXTURE, "num_local_experts": 4, "layer_types": ["full_attention"] * 2},
        "more than a softmax",
    ),
    ("deepseek_v3", LATENT, "decoding a test text fails"),
    ("nemotron", {}, "do not pass arguments on"),
    ("diffllama", {}, "nats per token"),
    ("doge", {}, "nats per token"),
    ("mistral", {"sliding_window": 8}, "sliding window"),
    ("mamba", {"state_size": 16}, "linear_attention"),
    ("bloom", {"n_head": 4, "n_layer": 2}, "does not support custom attention implementations"),
]


@pytest.mark.parametrize(("kind", "settings", "words"), UNSAMPLED, ids=[row[0] for row in UNSAMPLED])
def test_an_engine_that_would_sample_another_model_refuses(
    kind: str, settings: dict[str, Any], words: str, make: Make
) -> None:
    policy = load(make(kind, settings))
    with pytest.raises(UsageError, match=f"{HERE}: .*{words}"):
        TransformersEngine(policy)


@pytest.mark.parametrize("kind", ["gpt_oss", "deepseek_v3", "nemotron", "mamba", "doge"])
def test_training_is_right_where_only_the_engine_refuses(kind: str, make: Make) -> None:
    settings = next(settings for name, settings, _ in UNSAMPLED if name == kind)
    policy = load(make(kind, settings))
    scorer, asked = Scorer(policy.model, policy, TEMPERATURE), rows()
    wanted = [plain(policy, row.prompt_ids, row.completion_ids) for row in asked]
    assert off(scorer.score([Block((asked,), scorer.may_share)], 4), wanted) < EXACT


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("mamba", {"state_size": 16}, "out_proj"),
        (
            "jamba",
            {"num_experts": 2, "mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False},
            "uses the weights of dt_proj without calling",
        ),
    ],
)
def test_adapters_that_would_do_nothing_are_refused(
    kind: str, settings: dict[str, Any], words: str, make: Make
) -> None:
    folder = make(kind, settings)
    with pytest.raises(UsageError, match=rf"policy\.lora\.targets: .*{words}"):
        load(folder, LoRA(rank=2, alpha=4))


def test_routers_and_experts_are_no_targets(make: Make) -> None:
    folder = make("qwen2_moe", {**MIXTURE, "num_experts": 4, "shared_expert_intermediate_size": 32})
    adapted = {name.partition(".lora_")[0] for name in lora.adapter(load(folder, LoRA(rank=2)).model)}
    leaves = {place.rpartition(".")[2] for place in adapted}
    assert leaves == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert all("self_attn" in place or "shared_expert" in place for place in adapted)
    with pytest.raises(UsageError, match=r"policy\.lora\.targets: .*'gate_up_proj'.*accepted: q_proj"):
        load(folder, LoRA(rank=2, targets=["gate_up_proj"]))


def test_longrope_ends_where_its_short_factors_end(make: Make) -> None:
    """Beyond, a row's log-probabilities would depend on the longest row beside it."""
    folder = make("phi3", {"original_max_position_embeddings": 64, "rope_parameters": dict(LONGROPE)})
    policy = load(folder)
    assert policy.positions == 64
    prompt, long, short = tuple(range(24)), tuple(range(100, 140)), tuple(range(50, 63))
    asked = (Row(0, 0, prompt, long), Row(1, 0, prompt, short), Row(2, 1, prompt[:9], long))
    scorer = Scorer(policy.model, policy, TEMPERATURE)
    wanted = [plain(policy, row.prompt_ids, row.completion_ids) for row in asked]
    for shared in (False, True):
        assert off(scorer.score([Block((asked,), shared)], 3), wanted) < EXACT
    with pytest.raises(UsageError, match="65 tokens do not fit the 64 positions"):
        scorer.score([Block(((Row(0, 0, prompt, (*long, 7)),),), False)], 1)
    engine = TransformersEngine(policy)
    with pytest.raises(UsageError, match="the model has 64"):
        engine.generate([Request("x" * 40, 1, 0)], Sampling(max_tokens=25))


def test_doctor_says_which(make: Make) -> None:
    found = doctor.examine_model(config.Policy(model=str(make("nemotron", {})), device="cpu"))
    told = {check.name: check for check in found}
    assert told["model"].ok
    assert told["training"].found == "works; groups share their prompt's computation"
    assert "q_proj" in told["LoRA"].found
    assert not told["engine transformers"].ok
    assert HERE in told["engine transformers"].advice
