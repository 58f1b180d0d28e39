"""Random policies of many architectures at tiny sizes, saved as a user's folder would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

SIZES: dict[str, Any] = {
    "vocab_size": 264,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.15,
}
MIXTURE = {"head_dim": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": None,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "n_shared_experts": 1,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "partial_rotary_factor": 1.0,
    "original_max_position_embeddings": 64,
    "short_factor": [1.0] * 8,
    "long_factor": [4.0] * 8,
}


RIGHT: list[tuple[str, str, dict[str, Any]]] = [
    ("Llama", "llama", {}),
    ("Qwen2", "qwen2", {}),
    ("Qwen3", "qwen3", {"head_dim": 16}),
    ("Gemma", "gemma", {"head_dim": 16}),
    ("Mistral", "mistral", {"sliding_window": None}),
    ("OLMo 2", "olmo2", {}),
    ("Phi-3", "phi3", {}),
    ("SmolLM3", "smollm3", {}),
    ("GLM-4", "glm4", {"head_dim": 16}),
    ("Ernie 4.5", "ernie4_5", {}),
    ("Hunyuan", "hunyuan_v1_dense", {"head_dim": 16}),
    ("Apertus", "apertus", {}),
    ("Ministral 3", "ministral3", {"head_dim": 16}),
    ("GPT-NeoX", "gpt_neox", {}),
    ("LFM2", "lfm2", {"layer_types": ["full_attention", "full_attention"]}),
    ("Granite", "granite", {}),
    ("StarCoder2", "starcoder2", {"sliding_window": None}),
    ("GPT-2", "gpt2", {}),
    ("OPT", "opt", {"ffn_dim": 96, "word_embed_proj_dim": 64}),
    ("Qwen3-MoE", "qwen3_moe", {**MIXTURE, "num_experts": 4, "decoder_sparse_step": 1}),
    ("Mixtral", "mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    ("dropout", "starcoder2", {"sliding_window": None, "residual_dropout": 0.1, "embedding_dropout": 0.1}),
]
"""Name, kind and settings of those that are trained and sampled exactly as transformers computes them."""


def save(
    kind: str, settings: dict[str, Any], tokenizer: PreTrainedTokenizerFast, folder: Path, seed: int = 0
) -> Path:
    """A folder with a random model of transformers' ``kind``, norms and biases random too."""
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    tokens = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": pad}
    known = AutoConfig.for_model(kind)
    sizes = {name: size for name, size in SIZES.items() if hasattr(known, name)}
    config = AutoConfig.for_model(kind, **{**sizes, **tokens, **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim < 2:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
    model.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
