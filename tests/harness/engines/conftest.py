"""One policy and one engine of each kind for the contract suite."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator

import pytest

from harness.engines.registry import EngineKind, RolloutEngine, make_engine
from harness.models.policy import Policy

# A random policy seldom draws the one end token: these bytes end a completion too.
ENDS = [256, *range(40, 56)]

OUTSIDE = os.environ.get("HARNESS_ENGINE")
"""An engine of one's own, by name, that the contract is to be tried on: see docs/extending.md."""
KINDS = [
    "transformers" if OUTSIDE is None else OUTSIDE,
    pytest.param(
        "vllm",
        marks=[
            pytest.mark.vllm,
            pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
        ],
    ),
]


@pytest.fixture
def policy(make_random_policy: Callable[..., Policy]) -> Policy:
    """A random policy whose completions end by themselves after some 15 tokens, about as often as not.

    Heads of 32, the smallest that vLLM computes on a CPU.
    """
    made = make_random_policy(hidden_size=64, num_attention_heads=2, num_key_value_heads=1)
    made.model.generation_config.eos_token_id = ENDS
    return made


@pytest.fixture(scope="session")
def engines() -> Iterator[dict[EngineKind, RolloutEngine]]:
    """vLLM engines, kept because they take long to start."""
    kept: dict[EngineKind, RolloutEngine] = {}
    yield kept
    kept.clear()


@pytest.fixture(params=KINDS)
def engine(
    request: pytest.FixtureRequest, policy: Policy, engines: dict[EngineKind, RolloutEngine]
) -> RolloutEngine:
    """An engine over ``policy``; vLLM's is made once and gets the weights by ``sync``."""
    if request.param != "vllm":
        return make_engine(request.param, policy)
    if request.param not in engines:
        engines[request.param] = make_engine(request.param, policy)
    engines[request.param].sync(policy.model)
    return engines[request.param]
