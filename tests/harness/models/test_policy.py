from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma3Config,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MptConfig,
    Phi3Config,
    PreTrainedTokenizerFast,
)

from evals.base.errors import JobError, UsageError
from harness import config
from harness.models.policy import Policy, load_policy, policy_hash, positions, save_policy, weights_hash
from harness.train import checkpoint
from tests.harness.models import architectures
from tests.harness.models.architectures import LONGROPE

HEADS_OF_16 = {"hidden_size": 64, "num_attention_heads": 4}
LONG: dict[str, Any] = {"original_max_position_embeddings": 64, "rope_parameters": dict(LONGROPE)}


@pytest.fixture
def folder(tiny_random_policy: Policy, tmp_path: Path) -> Path:
    save_policy(tiny_random_policy, tmp_path / "policy")
    return tmp_path / "policy"


def test_saved_and_loaded_is_the_same_policy(tiny_random_policy: Policy, folder: Path) -> None:
    loaded = load_policy(config.Policy(model=str(folder), device="cpu"))
    assert policy_hash(loaded.model, loaded.tokenizer) == policy_hash(
        tiny_random_policy.model, tiny_random_policy.tokenizer
    )
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(loaded.model(ids).logits, tiny_random_policy.model(ids).logits)
    assert loaded.tokenizer("<think>a</think>").input_ids == [258, 64, 259]
    assert not loaded.model.training
    assert sorted(path.name for path in folder.glob("*.bin")) == []


def test_bfloat16_is_the_weights_dtype_unless_trained(folder: Path) -> None:
    settings = config.Policy(model=str(folder), dtype="bfloat16", device="cpu")
    sampled, trained = load_policy(settings), load_policy(settings, trainable=True)
    assert sampled.model.dtype == torch.bfloat16
    assert trained.model.dtype == torch.float32
    assert trained.model.training
    ids = torch.tensor([[5, 6, 7]])
    for policy in (sampled, trained):
        with policy.autocast():
            assert policy.model(ids).logits.dtype == torch.bfloat16


@pytest.mark.parametrize("change", ["one bit", "order", "name", "dtype"])
def test_weights_hash_sees_every_change(make_random_policy: Callable[..., Policy], change: str) -> None:
    model = make_random_policy().model
    before = weights_hash(model)
    assert weights_hash(make_random_policy().model) == before
    if change == "one bit":
        weight = model.model.layers[1].mlp.down_proj.weight.detach()
        weight.view(torch.int32)[3, 4] ^= 1
    elif change == "order":
        weight = model.model.layers[0].mlp.up_proj.weight.detach()
        weight[[3, 4]] = weight[[4, 3]]
    elif change == "name":
        first, second = (layer.input_layernorm for layer in model.model.layers)
        first.weight.data += 1
        before = weights_hash(model)
        first.weight, second.weight = second.weight, first.weight
    else:
        model.to(torch.bfloat16)
    assert weights_hash(model) != before


def test_tokenizer_state_of_a_call_is_no_part_of_the_hash(tiny_random_policy: Policy) -> None:
    model, tokenizer = tiny_random_policy.model, tiny_random_policy.tokenizer
    before = policy_hash(model, tokenizer)
    tokenizer(["a", "bcd"], padding=True, truncation=True, max_length=2)
    assert policy_hash(model, tokenizer) == before


def _say(settings: config.Policy) -> str:
    with pytest.raises((UsageError, JobError)) as caught:
        load_policy(settings)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}: no config.json" in _say(config.Policy(model=str(tmp_path), device="cpu"))


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing" / "here")
    assert f"no such file or folder {missing}" in _say(config.Policy(model=missing, device="cpu"))


def test_offline_and_not_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    sentence = _say(config.Policy(model="nobody-at-all/nothing", device="cpu"))
    assert "nobody-at-all/nothing" in sentence
    assert "could not be fetched" in sentence
    assert "did you mean 'tiny'?" in _say(config.Policy(model="tny", device="cpu"))


@pytest.mark.parametrize("damage", ["cut", "missing weight", "not json", "no tokenizer"])
def test_a_damaged_folder_is_refused_in_one_sentence(folder: Path, damage: str) -> None:
    weights = folder / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    elif damage == "missing weight":
        tensors = load_file(weights)
        del tensors["model.layers.1.mlp.down_proj.weight"]
        save_file(tensors, weights, metadata={"format": "pt"})
    elif damage == "not json":
        (folder / "config.json").write_text("{", encoding="utf-8")
    else:
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
    assert str(folder) in _say(config.Policy(model=str(folder), device="cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_no_gpu_is_a_usage_error(folder: Path) -> None:
    assert "policy.device" in _say(config.Policy(model=str(folder), device="cuda"))


def test_a_revision_belongs_to_a_hub_model(folder: Path) -> None:
    assert "policy.revision" in _say(config.Policy(model=str(folder), revision="main", device="cpu"))


def test_a_full_disk_is_a_job_error(tiny_random_policy: Policy, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(JobError, match="could not be saved"):
        save_policy(dataclasses.replace(tiny_random_policy), blocked / "policy")


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": False, "temperature": 0.6, "top_p": 0.9},
        {"temperature": 0.6},
        {"top_k": 20, "min_p": 0.1},
    ],
)
def test_a_temperature_that_nothing_samples_by_does_not_stop_a_checkpoint(
    folder: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    _change(folder / "generation_config.json", settings)
    policy = load_policy(config.Policy(model=str(folder), device="cpu"), trainable=True)
    save_policy(policy, tmp_path / "saved")
    again = load_policy(config.Policy(model=str(tmp_path / "saved"), device="cpu"))
    assert again.model.generation_config.eos_token_id == policy.model.generation_config.eos_token_id


def test_a_generation_config_that_cannot_be_saved_is_refused_on_loading(folder: Path) -> None:
    _change(folder / "generation_config.json", {"pad_token_id": -1})
    said = _say(config.Policy(model=str(folder), device="cpu"))
    assert "generation_config.json: invalid, so no checkpoint could be saved" in said
    assert "pad_token_id" in said


def _change(file: Path, settings: dict[str, object]) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **settings}))


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (LlamaConfig(max_position_embeddings=100), 100),
        (GPT2Config(n_positions=77), 77),
        (MptConfig(max_seq_len=55), 55),
        (MambaConfig(), None),
        (Gemma3Config(text_config={"max_position_embeddings": 99}), 99),
        (LlamaConfig(max_position_embeddings=100, rope_scaling={"rope_type": "dynamic", "factor": 4.0}), 100),
        (Phi3Config(max_position_embeddings=100, **LONG, **HEADS_OF_16), 64),
    ],
    ids=lambda value: type(value).__name__,
)
def test_positions_are_what_the_configuration_calls_them(settings: Any, wanted: int | None) -> None:
    assert positions(settings) == wanted


def test_capped_attention_scores_are_not_left_to_the_fused_kernel(
    byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """PyTorch's has no cap, and transformers leaves it out there without a word."""
    settings = {"head_dim": 16, "attn_logit_softcapping": 0.05, "initializer_range": 0.5}
    folder = architectures.save("gemma2", settings, byte_tokenizer, tmp_path / "gemma2")
    ids = torch.arange(20)[None]
    found = load_policy(config.Policy(model=str(folder), device="cpu")).model(input_ids=ids).logits
    eager = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")(input_ids=ids).logits
    fused = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa")(input_ids=ids).logits
    torch.testing.assert_close(found, eager)
    assert (fused - eager).abs().max() > 0.01


CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own-llama"

class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


def test_code_of_a_models_own_runs_only_where_it_is_trusted(
    byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    folder = architectures.save("llama", {}, byte_tokenizer, tmp_path / "own")
    own = {"AutoConfig": "modeling.OwnConfig", "AutoModelForCausalLM": "modeling.OwnForCausalLM"}
    _change(folder / "config.json", {"model_type": "own-llama", "auto_map": own})
    (folder / "modeling.py").write_text(CODE)
    said = _say(config.Policy(model=str(folder), device="cpu"))
    assert "its own code (modeling.OwnForCausalLM)" in said
    assert "policy.trust_remote_code" in said
    trusted = load_policy(config.Policy(model=str(folder), device="cpu", trust_remote_code=True))
    assert type(trusted.model).__name__ == "OwnForCausalLM"
    before = weights_hash(trusted.model)
    saved = checkpoint.write(tmp_path / "checkpoints", 1, trusted, {}, keep=1)
    trusted.model.model.norm.weight.data += 1
    checkpoint.read(saved, trusted.model)  # what was trusted when it was loaded is when it resumes
    assert weights_hash(trusted.model) == before


def test_other_formats_are_refused_with_what_to_do(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pickled (pytorch_model.bin)" in _say(config.Policy(model=str(folder), device="cpu"))
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    (folder / "tokenizer.json").rename(folder / "vocab.json")
    said = _say(config.Policy(model=str(folder), device="cpu"))
    assert "only vocab.json: AutoTokenizer" in said
