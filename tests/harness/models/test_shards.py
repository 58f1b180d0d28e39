"""Tensors that are written as they come, and a policy's pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from harness import config
from harness.models import lora, pieces, shards
from harness.models.policy import Policy, load_policy, save_policy
from harness.models.stored import model_names
from tests.harness.models import architectures

SHAPES: dict[str, dict[str, Any]] = {
    "qwen3_moe": {"num_experts": 4, **architectures.MIXTURE},
    "gemma2": {"head_dim": 16},
}


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=30))
def test_what_is_written_is_read_and_little_is_held(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    tensors = {f"t{i}": torch.arange(size) + i for i, size in enumerate(sizes)}
    outline = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    shards.write(folder, "optimizer", outline, iter(tensors.items()))
    stored = shards.Stored(folder, "optimizer")
    assert set(stored) == tensors.keys()
    assert len(stored) == len(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(stored[name], tensor)
    assert shards.exist(folder, "optimizer")
    assert not shards.exist(folder, "model")
    total = sum(tensor.nbytes for tensor in tensors.values())
    largest = max(tensor.nbytes for tensor in tensors.values())
    for file in folder.glob("*.safetensors"):
        assert file.stat().st_size < max(total / shards.SMALLEST_NUMBER, largest) + 200 * (len(sizes) + 2)


def test_who_does_not_write_takes_part() -> None:
    taken = []

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        for name in "ab":
            taken.append(name)
            yield name, torch.zeros(1)

    shards.write(None, "model", {}, tensors())
    assert taken == ["a", "b"]


def test_pieces_are_what_a_file_has(tiny_random_policy: Policy, tmp_path: Path) -> None:
    save_policy(tiny_random_policy, tmp_path)
    stored = shards.Stored(tmp_path)
    found = dict(pieces.pieces(tiny_random_policy.model))
    assert found.keys() == stored.keys() == model_names(tiny_random_policy.model)
    assert all(torch.equal(found[name], stored[name]) for name in stored)
    with_head = dict(pieces.pieces(tiny_random_policy.model, tied=lambda name: True))
    assert with_head.keys() - found.keys() == {"lm_head.weight"}


def test_adapters_come_merged(tiny_random_policy: Policy) -> None:
    model = tiny_random_policy.model
    plain = dict(pieces.pieces(model))
    lora.attach(model, config.LoRA(rank=4))
    for parameter in lora.adapter(model).values():
        torch.nn.init.normal_(parameter, std=0.1)
    found, outline = dict(pieces.pieces(model)), pieces.described(model)
    assert list(found) == list(outline)
    assert found.keys() == plain.keys()
    changed = [name for name in plain if not torch.equal(found[name], plain[name])]
    assert changed
    assert all("proj" in name for name in changed)
    for name, tensor in outline.items():
        assert (tensor.shape, tensor.dtype) == (found[name].shape, found[name].dtype)


@pytest.mark.parametrize("kind", SHAPES)
def test_pieces_have_the_names_that_vllm_reads(
    kind: str, byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Experts, which the model stacks, are one by one in files."""
    folder = architectures.save(kind, SHAPES[kind], byte_tokenizer, tmp_path / kind)
    policy = load_policy(config.Policy(model=str(folder), device="cpu"))
    found, outline = dict(pieces.pieces(policy.model)), pieces.described(policy.model)
    stored = shards.Stored(folder)
    assert list(found) == list(outline)
    assert found.keys() == stored.keys()
    for name, tensor in stored.items():
        assert torch.equal(found[name], tensor.to(found[name].dtype))
        assert outline[name].shape == tensor.shape


def test_a_policy_in_shards_is_a_folder_that_any_tool_loads(
    make_random_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    policy = make_random_policy()
    save_policy(policy, tmp_path)
    whole = shards.Stored(tmp_path)
    tensors = dict(whole)
    (tmp_path / "model.safetensors").unlink()
    outline = pieces.described(policy.model)
    shards.write(tmp_path, "model", outline, pieces.pieces(policy.model))
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, tensors[name if name in tensors else "model.embed_tokens.weight"])
