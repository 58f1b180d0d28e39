"""What two processes read into their shards is the model that one process loads, whatever its files have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from evals.base import io
from evals.base.errors import UsageError
from harness import config
from harness.models import blocks, lora, pieces, shards, stored
from harness.models.policy import load_policy, weights_hash
from tests.harness.models.architectures import LATENT, MIXTURE, RIGHT, save

SCRIPT = Path(__file__).with_name("read_in_shards.py")
THREE: dict[str, Any] = {"num_hidden_layers": 3}
CASES: list[tuple[str, dict[str, Any], str, int]] = [
    ("qwen3_moe", {**THREE, **MIXTURE, "num_experts": 5, "decoder_sparse_step": 1}, "float32", 0),
    ("deepseek_v3", {**THREE, **LATENT}, "bfloat16", 2),
    ("gpt2", {"n_layer": 3, "n_embd": 64, "n_head": 4}, "bfloat16", 2),
]


@pytest.mark.parametrize(("name", "kind", "settings"), RIGHT, ids=[row[0] for row in RIGHT])
@pytest.mark.parametrize("inner", [False, True], ids=["whole", "inner"])
def test_files_are_read_as_transformers_reads_them(
    name: str,
    kind: str,
    settings: dict[str, Any],
    inner: bool,
    byte_tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    """``inner``: the files name the weights as the model without its head does, as GPT-2's do."""
    folder = save(kind, settings, byte_tokenizer, tmp_path / kind)
    wanted = AutoModelForCausalLM.from_pretrained(folder)
    if inner:
        prefix = f"{wanted.base_model_prefix}."
        plain = {key.removeprefix(prefix): tensor for key, tensor in files_of(folder).items()}
        save_file(plain, folder / "model.safetensors", metadata={"format": "pt"})
    model = AutoModelForCausalLM.from_config(wanted.config)
    blocks.load(model, folder)
    assert weights_hash(model) == weights_hash(wanted)
    model.save_pretrained(tmp_path / "again")
    wanted.save_pretrained(tmp_path / "wanted")
    again, files = files_of(tmp_path / "again"), files_of(tmp_path / "wanted")
    assert again.keys() == files.keys()
    assert all(torch.equal(tensor, files[key]) for key, tensor in again.items())


def read(folder: Path, dtype: str, rank: int, out: Path) -> subprocess.CompletedProcess[str]:
    (out / "saved").mkdir(parents=True)
    words = (str(SCRIPT), str(folder), dtype, str(rank), str(out))
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
    )


def files_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(shards.Stored(folder))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "settings", "dtype", "rank"), CASES, ids=[case[0] for case in CASES])
def test_it_is_the_model_that_one_process_loads(
    kind: str,
    settings: dict[str, Any],
    dtype: Any,
    rank: int,
    byte_tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    folder = save(kind, settings, byte_tokenizer, tmp_path / kind)
    done = read(folder, dtype, rank, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    together = load_file(tmp_path / "out" / "together.safetensors")

    adapters = config.LoRA(rank=rank) if rank else None
    chosen = config.Policy(model=str(folder), device="cpu", template="tags", dtype=dtype, lora=adapters)
    alone = load_policy(chosen, trainable=True, seed=5)
    alone.model.eval()
    with torch.no_grad(), alone.autocast():
        logits = alone.model(input_ids=torch.arange(9)[None], use_cache=False).logits
    rounding = 1e-5 if dtype == "float32" else 0.05
    torch.testing.assert_close(together.pop("logits"), logits, rtol=0, atol=rounding)
    mine = alone.model.state_dict()
    assert together.keys() == mine.keys()
    for name, tensor in together.items():
        assert tensor.dtype == mine[name].dtype, name
        assert torch.equal(tensor, mine[name]), name
    saved = shards.Stored(tmp_path / "out" / "saved")
    assert saved.keys() == shards.Stored(folder).keys()
    for name, tensor in pieces.pieces(alone.model):
        assert torch.equal(saved[name], tensor), name
    whole = sum(parameter.nbytes for parameter in alone.model.parameters())
    assert 0 < io.read_json(tmp_path / "out" / "sizes.json")["largest"] < whole / 2


def adapter_on(base: Path, folder: Path) -> Path:
    """A random adapter of peft's for ``base``."""
    model = AutoModelForCausalLM.from_pretrained(base)
    lora.attach(model, config.LoRA(rank=2, alpha=6))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for parameter in lora.adapter(model).values():
            parameter.normal_(std=0.1)
    folder.mkdir()
    lora.save(model, str(base), folder)
    return folder


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mixtral", "gemma"])
def test_an_adapter_is_added_as_peft_merges_it(
    kind: str, byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    [settings] = [settings for _, other, settings in RIGHT if other == kind]
    base = save(kind, settings, byte_tokenizer, tmp_path / kind)
    adapter = adapter_on(base, tmp_path / "adapter")
    assert lora.adds_products(adapter)
    wanted = AutoModelForCausalLM.from_pretrained(base)
    lora.merge_from(adapter, wanted)
    for dtype in (torch.float32, torch.bfloat16):
        model = AutoModelForCausalLM.from_config(wanted.config, dtype=dtype)
        blocks.load(model, base, adapter)
        for name, tensor in wanted.state_dict().items():
            assert torch.equal(model.state_dict()[name], tensor.to(dtype)), name


def test_an_adapter_that_is_more_than_products_is_merged_whole(
    byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    base = save("llama", {}, byte_tokenizer, tmp_path / "llama")
    for more in ({"use_dora": True}, {"modules_to_save": ["lm_head"]}):
        model = AutoModelForCausalLM.from_pretrained(base)
        peft.get_peft_model(model, peft.LoraConfig(r=2, **more)).save_pretrained(tmp_path / str(*more))
        assert not lora.adds_products(tmp_path / str(*more)), more


@pytest.mark.slow
def test_two_processes_add_an_adapter_to_their_parts(
    byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    base = save("llama", THREE, byte_tokenizer, tmp_path / "llama")
    adapter = adapter_on(base, tmp_path / "adapter")
    done = read(adapter, "float32", 0, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    together = load_file(tmp_path / "out" / "together.safetensors")
    alone = load_policy(config.Policy(model=str(adapter), device="cpu"), trainable=True)
    for name, tensor in alone.model.state_dict().items():
        assert torch.equal(together[name], tensor), name


@pytest.mark.parametrize("first", ["lm_head.weight", "model.embed_tokens.weight"])
def test_two_values_of_one_weight_are_refused(
    first: str, byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save("qwen2", {"tie_word_embeddings": True}, byte_tokenizer, tmp_path / "tied")
    found = load_file(folder / "model.safetensors")
    both = {**found, "lm_head.weight": found["model.embed_tokens.weight"].clone()}
    model = AutoModelForCausalLM.from_pretrained(folder)
    expected = weights_hash(model)
    save_file(both, folder / "model.safetensors", metadata={"format": "pt"})
    in_order = dict.fromkeys([first, *both], folder / "model.safetensors")
    monkeypatch.setattr(stored, "places", lambda _folder: in_order)
    blocks.load(model, folder)
    assert weights_hash(model) == expected

    both["lm_head.weight"] += 1
    save_file(both, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match="differ, which are one weight by the model's"):
        blocks.load(model, folder)


def test_missing_weights_are_told(byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    folder = save("qwen2", {}, byte_tokenizer, tmp_path / "qwen2")
    model = AutoModelForCausalLM.from_pretrained(folder)
    found = load_file(folder / "model.safetensors")
    del found["model.norm.weight"]
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"1 weights .* are missing, for example model\.norm\.weight"):
        blocks.load(model, folder)
