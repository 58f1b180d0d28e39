"""SmolLM2-135M on vLLM against transformers: the same tokens, and the same log-probabilities."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evals.engine import Request, Sampling
from harness import config
from harness.engines.registry import RolloutEngine, make_engine
from harness.models import trial
from harness.models.policy import Policy, load_policy

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

PROMPTS = [
    "User: What is 12 + 7?\nAssistant:",
    "The capital of France is",
    "<|im_start|>user\nName three colours.<|im_end|>\n<|im_start|>assistant\n",
]


@pytest.fixture(scope="module")
def policy(smollm2: Path) -> Policy:
    return load_policy(config.Policy(model=str(smollm2), device="cpu"))


@pytest.fixture(scope="module")
def vllm(policy: Policy) -> RolloutEngine:
    pytest.importorskip("vllm")
    return make_engine("vllm", policy, room=256)


def test_at_temperature_0_both_engines_write_the_same_tokens(policy: Policy, vllm: RolloutEngine) -> None:
    requests, sampling = [Request(prompt, 1, 0) for prompt in PROMPTS], Sampling(temperature=0, max_tokens=24)
    theirs = make_engine("transformers", policy).generate(requests, sampling)
    for mine, other in zip(vllm.generate(requests, sampling), theirs, strict=True):
        assert mine.prompt_ids == other.prompt_ids
        assert mine.completions[0].token_ids == other.completions[0].token_ids


def test_sampled_log_probabilities_are_the_forward_passs(policy: Policy, vllm: RolloutEngine) -> None:
    requests = [Request(prompt, 4, 10 * number) for number, prompt in enumerate(PROMPTS)]
    for group in vllm.generate(requests, Sampling(max_tokens=24)):
        for completion in group.completions:
            plain = trial.plain_logprobs(policy.model, policy, group.prompt_ids, completion.token_ids)
            torch.testing.assert_close(torch.tensor(completion.logprobs), plain, rtol=0, atol=1e-3)
