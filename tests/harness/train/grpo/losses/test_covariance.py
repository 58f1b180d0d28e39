"""Clip-Cov and KL-Cov: which tokens they choose, and what becomes of those, token by token."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.base.errors import UsageError
from harness.config import GRPO
from harness.train.grpo.loss import Denominators, grpo_loss, loss_of
from harness.train.grpo.losses.base import Choosing, Minibatch
from tests.harness.train.grpo.losses.test_losses import gradient, terms


def choosing(loss: Any) -> Choosing:
    found = loss_of(GRPO(loss=loss))
    assert isinstance(found, Choosing)
    return found


def minibatch(seed: int, tokens: int = 400) -> Minibatch:
    rng = np.random.default_rng(seed)
    advantages = np.repeat(rng.normal(size=tokens // 4), 4)
    return Minibatch(-rng.exponential(2.0, size=tokens), advantages, np.random.default_rng(seed))


def plain_covariances(of: Minibatch) -> list[float]:
    logprobs, advantages = of.logprobs.tolist(), of.advantages.tolist()
    mean, middle = math.fsum(logprobs) / len(logprobs), math.fsum(advantages) / len(advantages)
    return [(lp - mean) * (a - middle) for lp, a in zip(logprobs, advantages, strict=True)]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), share=st.floats(1e-4, 1.0))
def test_kl_cov_holds_the_tokens_of_largest_covariance(seed: int, share: float) -> None:
    of = minibatch(seed)
    chosen = choosing({"kind": "kl_cov", "share": share}).choose(of).tolist()
    assert len(chosen) == len(set(chosen)) == max(1, math.floor(share * 400))
    values = plain_covariances(of)
    rest = [value for i, value in enumerate(values) if i not in set(chosen)]
    assert min(values[i] for i in chosen) >= max(rest, default=-math.inf) - 1e-12


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), share=st.floats(1e-4, 1.0), low=st.floats(-1, 3), width=st.floats(0.01, 5))
def test_clip_cov_draws_from_the_tokens_between_its_bounds(
    seed: int, share: float, low: float, width: float
) -> None:
    loss = choosing({"kind": "clip_cov", "share": share, "low": low, "high": low + width})
    chosen = loss.choose(minibatch(seed)).tolist()
    inside = {i for i, value in enumerate(plain_covariances(minibatch(seed))) if low < value < low + width}
    assert len(chosen) == len(set(chosen)) == min(max(1, math.floor(share * 400)), len(inside))
    assert set(chosen) <= inside
    assert loss.choose(minibatch(seed)).tolist() == chosen  # the same chance, the same draw


def test_clip_cov_draws_every_candidate_about_equally_often() -> None:
    loss = choosing({"kind": "clip_cov", "share": 0.01})
    inside = [i for i, value in enumerate(plain_covariances(minibatch(3))) if 1 < value < 5]
    assert len(inside) > 20
    counts = dict.fromkeys(inside, 0)
    for draw in range(2000):
        for i in loss.choose(replace(minibatch(3), rng=np.random.default_rng(draw))).tolist():
            counts[i] += 1
    mean = 4 * 2000 / len(inside)
    assert all(abs(count - mean) < 5 * math.sqrt(mean) for count in counts.values())


@pytest.mark.parametrize("kind", ["clip_cov", "kl_cov"])
@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_value_and_gradient_are_those_of_the_plain_formula(kind: str, ratio: Any) -> None:
    of = terms()
    assert of.chosen is not None
    assert of.old is not None
    assert (of.chosen & of.mask).any()
    own = {"coefficient": 0.7} if kind == "kl_cov" else {}
    epsilon = {"epsilon": 0.1} if kind == "clip_cov" else {}
    stage = GRPO(loss={"kind": kind, **own}, ratio=ratio, **epsilon)  # type: ignore[arg-type]
    logprobs = of.logprobs.clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(of.mask)):
        inside = [t for t in range(of.mask.shape[1]) if of.mask[i, t]]
        logs = [logprobs[i, t] - of.old[i, t] for t in inside]
        mean = torch.exp(torch.stack(logs).mean())
        for t, log in zip(inside, logs, strict=True):
            rho, advantage = (torch.exp(log) if ratio == "token" else mean), of.advantages[i]
            if kind == "kl_cov":
                loss = -rho * advantage + (0.7 * torch.abs(log) if of.chosen[i, t] else 0.0)
            elif of.chosen[i, t]:
                loss = torch.zeros((), dtype=torch.float64)
            else:
                loss = -torch.minimum(rho * advantage, rho.clamp(0.9, 1.1) * advantage)
            total = total + loss / (len(of.mask) * len(inside))
    total.backward()
    value, found = gradient(stage, of)
    assert value == pytest.approx(float(total.detach()), abs=1e-12)
    torch.testing.assert_close(found, logprobs.grad, rtol=0, atol=1e-12)
    unmarked = gradient(stage, replace(of, chosen=None))
    assert unmarked[0] != pytest.approx(value, abs=1e-6)


def test_clip_cov_counts_what_it_leaves_out_as_clipped() -> None:
    of = replace(terms(), old=None)
    loss = grpo_loss(of, GRPO(loss="clip_cov"), Denominators(4, 12, 12.0))  # type: ignore[arg-type]
    assert of.chosen is not None
    assert torch.equal(loss.clipped, of.chosen)


def test_the_penalty_has_no_gradient_where_the_policy_has_not_moved() -> None:
    of = replace(terms(), old=None)
    plain = GRPO(loss="clip")  # type: ignore[arg-type]
    found = gradient(GRPO(loss="kl_cov"), of)[1]  # type: ignore[arg-type]
    torch.testing.assert_close(found, gradient(plain, of)[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"kind": "clip_cov", "low": 5}, r"grpo\.loss: low \(5\) must be below high \(5\)"),
        ({"kind": "clip_cov", "share": 0}, r"grpo\.loss\.share: Input should be greater than 0"),
        ({"kind": "kl_cov", "share": 1.5}, r"grpo\.loss\.share: Input should be less than or equal to 1"),
        ({"kind": "kl_cov", "low": 1}, r"grpo\.loss: unknown key 'low'; accepted: share, coefficient"),
    ],
)
def test_what_is_refused(loss: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        loss_of(GRPO(loss=loss))
