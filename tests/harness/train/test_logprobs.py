"""Chunked log-probabilities against plain autograd in float64."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.train.logprobs import score_tokens

WORDS, WIDTH = 40, 6


def plain(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    logs = torch.log_softmax(hidden @ weight.T / temperature, dim=1)
    return logs[torch.arange(len(targets)), targets], -(logs.exp() * logs).sum(1)


def inputs(tokens: int, seed: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, WIDTH, generator=rng).to(dtype).requires_grad_()
    weight = torch.randn(WORDS, WIDTH, generator=rng).to(dtype).requires_grad_()
    return [hidden, weight, torch.randint(0, WORDS, (tokens,), generator=rng)]


@settings(deadline=None, max_examples=40)
@given(
    tokens=st.integers(1, 12),
    rows=st.integers(1, 13),
    temperature=st.sampled_from([1.0, 0.6, 1.7]),
    entropy_weight=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 99),
)
def test_values_and_gradients_however_it_is_cut(
    tokens: int, rows: int, temperature: float, entropy_weight: float, seed: int
) -> None:
    hidden, weight, targets = inputs(tokens, seed)
    scores = score_tokens(hidden, weight, targets, temperature, piece=rows * WORDS)
    pull = torch.linspace(-1, 1, tokens)
    ((scores.logprobs * pull).sum() + entropy_weight * scores.entropy.sum()).backward()

    hidden64, weight64 = (t.detach().double().requires_grad_() for t in (hidden, weight))
    logprobs, entropy = plain(hidden64, weight64, targets, temperature)
    ((logprobs * pull.double()).sum() + entropy_weight * entropy.sum()).backward()
    torch.testing.assert_close(scores.logprobs.double(), logprobs, rtol=0, atol=1e-5)
    torch.testing.assert_close(scores.entropy.double(), entropy, rtol=0, atol=1e-5)
    for mine, theirs in ((hidden, hidden64), (weight, weight64)):
        assert mine.grad is not None
        torch.testing.assert_close(mine.grad.double(), theirs.grad, rtol=0, atol=1e-5)


def test_only_what_needs_a_gradient_gets_one() -> None:
    hidden, weight, targets = inputs(5, 0)
    score_tokens(hidden.detach(), weight, targets).logprobs.sum().backward()
    assert weight.grad is not None
    assert hidden.grad is None
    with torch.no_grad():
        assert not score_tokens(hidden, weight, targets).logprobs.requires_grad


def test_bfloat16_hidden_states_with_float32_weights() -> None:
    hidden, weight, targets = inputs(9, 3)
    half = hidden.detach().bfloat16().requires_grad_()
    scores = score_tokens(half, weight, targets, piece=2 * WORDS)
    scores.logprobs.sum().backward()
    assert scores.logprobs.dtype == torch.float32
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
    expected, _ = plain(hidden, weight.detach(), targets, 1.0)
    torch.testing.assert_close(scores.logprobs, expected, rtol=0, atol=0.1)


def test_an_impossible_distribution_is_visible_and_not_hidden() -> None:
    hidden, weight, targets = inputs(2, 0)
    with torch.no_grad():
        hidden[0, 0] = torch.nan
    scores = score_tokens(hidden, weight, targets)
    assert scores.logprobs[0].isnan()
    assert scores.logprobs[1].isfinite()


MEASURE = """
import resource, torch
from harness.train.logprobs import score_tokens
torch.set_num_threads(1)
hidden, weight = torch.randn(1024, 16, requires_grad=True), torch.randn(60000, 16, requires_grad=True)
score_tokens(hidden[:8], weight, torch.arange(8)).logprobs.sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
score_tokens(hidden, weight, torch.arange(1024), piece=2**21).logprobs.sum().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 2**10)
"""


@pytest.mark.slow
def test_memory_stays_far_below_that_of_the_logits() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.4 * 1024 * 60000 * 4
