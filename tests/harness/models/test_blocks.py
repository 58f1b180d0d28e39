"""What two processes read into their shards is the model that one process loads, whatever its files have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from evals.base import io
from harness import config
from harness.models import pieces, shards
from harness.models.policy import load_policy
from tests.harness.models.architectures import LATENT, MIXTURE, save

SCRIPT = Path(__file__).with_name("read_in_shards.py")
THREE: dict[str, Any] = {"num_hidden_layers": 3}
CASES: list[tuple[str, dict[str, Any], str, int]] = [
    ("qwen2", {**THREE, "tie_word_embeddings": True}, "float32", 0),
    ("qwen3_moe", {**THREE, **MIXTURE, "num_experts": 5, "decoder_sparse_step": 1}, "float32", 0),
    ("deepseek_v3", {**THREE, **LATENT}, "bfloat16", 2),
    ("mixtral", {**THREE, "num_local_experts": 4, "sliding_window": None}, "float32", 2),
    ("gpt2", {"n_layer": 3, "n_embd": 64, "n_head": 4}, "bfloat16", 2),
]


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


def test_files_that_do_not_fit_are_refused(byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    folder = save("qwen2", {"tie_word_embeddings": True}, byte_tokenizer, tmp_path / "tied")
    weights = load_file(folder / "model.safetensors")
    other = {**weights, "lm_head.weight": weights["model.embed_tokens.weight"] + 1}
    save_file(other, folder / "model.safetensors", metadata={"format": "pt"})
    done = read(folder, "float32", 0, tmp_path / "two")
    assert "differ, which are one weight by the model's config.json" in done.stderr

    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    done = read(folder, "float32", 0, tmp_path / "one")
    assert "1 weights of the model are missing, for example model.norm.weight" in done.stderr
