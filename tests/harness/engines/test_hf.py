"""What only the transformers engine does: batches, the shared prompt, the trainer's model left as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from evals.base.errors import JobError, UsageError
from evals.engine import Request, Sampling
from harness.engines.hf import TransformersEngine
from harness.engines.hf_batches import plan
from harness.models.policy import Policy

REQUESTS = [Request("one", 9, 0), Request("another prompt, longer", 4, 50), Request("<think>", 1, 90)]
SAMPLING = Sampling(max_tokens=70)
SHAPE = {
    "vocab_size": 262,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": 256,
}
MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama, ungrouped": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "llama, one head": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=1)),
    "qwen3, head size": lambda: Qwen3ForCausalLM(
        Qwen3Config(**SHAPE, num_key_value_heads=2, head_dim=16, tie_word_embeddings=False)
    ),
    "mistral, full": lambda: MistralForCausalLM(
        MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=None)
    ),
}


def _ends(policy: Policy) -> Policy:
    policy.model.generation_config = GenerationConfig(eos_token_id=[256, *range(60, 72)])
    return policy


@pytest.mark.parametrize("name", MODELS)
def test_other_architectures(name: str, byte_tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    policy = _ends(Policy(MODELS[name]().eval(), byte_tokenizer, name))
    lengths = set()
    for group in TransformersEngine(policy).generate(REQUESTS, SAMPLING):
        for completion in group.completions:
            ids = torch.tensor([[*group.prompt_ids, *completion.token_ids]])
            with torch.no_grad():
                logits = policy.model(ids).logits[0, len(group.prompt_ids) - 1 : -1]
            expected = logits.log_softmax(-1).gather(1, ids[0, len(group.prompt_ids) :, None])[:, 0]
            assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)
            lengths.add(len(completion.token_ids))
    assert len(lengths) > 4  # rows left the batch at different steps


@pytest.mark.parametrize("max_batch_tokens", [1, 300, 1000])
def test_splitting_into_batches_changes_no_token(tiny_random_policy: Policy, max_batch_tokens: int) -> None:
    policy = _ends(tiny_random_policy)
    whole = TransformersEngine(policy).generate(REQUESTS, SAMPLING)
    split = TransformersEngine(policy, max_batch_tokens=max_batch_tokens).generate(REQUESTS, SAMPLING)
    for one, other in zip(whole, split, strict=True):
        assert [c.token_ids for c in one.completions] == [c.token_ids for c in other.completions]


def test_each_prompt_is_prefilled_once(tiny_random_policy: Policy) -> None:
    engine = TransformersEngine(tiny_random_policy)
    fed: list[int] = []
    embedding = tiny_random_policy.model.get_input_embeddings()
    handle = embedding.register_forward_hook(lambda _, args, __: fed.append(args[0].shape))
    groups = engine.generate([Request("abcdef", 16, 0), Request("ghijkl", 16, 9)], Sampling(max_tokens=5))
    handle.remove()
    assert fed[0] == (2, 6)
    assert all(shape[1] == 1 for shape in fed[1:])
    assert max(len(c.token_ids) for group in groups for c in group.completions) == len(fed)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 12)), max_size=12),
    row_tokens=st.integers(1, 30),
    budget=st.integers(1, 600),
)
def test_a_plan_covers_every_completion_once_within_the_budget(
    sizes: list[tuple[int, int]], row_tokens: int, budget: int
) -> None:
    prompts = [[7] * length for length, _ in sizes]
    requests = [Request("p", n, 100 * i) for i, (_, n) in enumerate(sizes)]
    batches = plan(prompts, requests, row_tokens, budget)
    covered = [
        (part.request, part.first + i) for batch in batches for part in batch for i in range(part.count)
    ]
    assert sorted(covered) == [(i, k) for i, (_, n) in enumerate(sizes) for k in range(n)]
    for batch in batches:
        rows = sum(part.count for part in batch)
        width = max(len(part.prompt) for part in batch)
        assert rows == 1 or width * len(batch) + rows * row_tokens <= budget
        assert max(part.count for part in batch) * len(batch) <= 2 * rows


def test_the_trainers_model_stays_as_it_was(tiny_random_policy: Policy) -> None:
    model = tiny_random_policy.model.train()
    attention = model.config._attn_implementation
    TransformersEngine(tiny_random_policy).generate(REQUESTS, Sampling(max_tokens=4))
    assert model.training
    assert model.config._attn_implementation == attention
    model(torch.tensor([[1, 2, 3]])).logits.sum().backward()
    assert model.get_input_embeddings().weight.grad is not None


def test_bfloat16_forward_over_float32_weights(tiny_random_policy: Policy) -> None:
    exact = TransformersEngine(tiny_random_policy).generate(REQUESTS, Sampling(max_tokens=1))
    tiny_random_policy.dtype = torch.bfloat16
    rough = TransformersEngine(tiny_random_policy).generate(REQUESTS, Sampling(max_tokens=1))
    assert rough != exact
    for one, other in zip(exact, rough, strict=True):
        same = [
            (a, b)
            for a, b in zip(one.completions, other.completions, strict=True)
            if a.token_ids == b.token_ids
        ]
        assert all(a.logprobs == pytest.approx(b.logprobs, abs=0.2) for a, b in same)


def test_a_diverged_policy_is_a_job_error(tiny_random_policy: Policy) -> None:
    tiny_random_policy.model.model.norm.weight.data.fill_(float("nan"))
    with pytest.raises(JobError, match="not finite"):
        TransformersEngine(tiny_random_policy).generate(REQUESTS, SAMPLING)


def test_a_sliding_window_is_refused_before_sampling(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    model = MistralForCausalLM(MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=16))
    with pytest.raises(UsageError, match="sliding"):
        TransformersEngine(Policy(model, byte_tokenizer, "mistral"))
