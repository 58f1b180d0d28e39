"""The loss against a float64 reference written token by token, and its properties."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import GRPO, Epsilon
from harness.train.grpo.loss import (
    Denominators,
    TokenTerms,
    bounded_exp,
    grpo_loss,
    kl_estimates,
    loss_of,
    token_weights,
)
from harness.train.grpo.losses.base import TokenLosses, Tokens

AGGREGATIONS = ["grpo", "bnpo", "dr_grpo", "dapo"]


def terms(seed: int = 0, rows: int = 4, tokens: int = 5) -> TokenTerms:
    rng = torch.Generator().manual_seed(seed)

    def normal(scale: float) -> torch.Tensor:
        return scale * torch.randn(rows, tokens, generator=rng, dtype=torch.float64)

    old = -normal(1.0).abs()
    return TokenTerms(
        logprobs=old + normal(0.3),
        mask=torch.arange(tokens) < torch.randint(1, tokens + 1, (rows, 1), generator=rng),
        advantages=torch.randn(rows, generator=rng, dtype=torch.float64),
        old=old,
        reference=old + normal(0.5),
        sampler=old + normal(0.2),
        entropy=normal(1.0).abs(),
        chosen=torch.rand(rows, tokens, generator=rng) < 0.3,
    )


def whole(of: TokenTerms) -> Denominators:
    tokens = int(of.mask.sum())
    return Denominators(len(of.mask), tokens, tokens)


def value_and_gradient(of: TokenTerms, stage: GRPO, by: Denominators) -> tuple[float, torch.Tensor]:
    logprobs = of.logprobs.clone().requires_grad_()
    loss = grpo_loss(replace(of, logprobs=logprobs), stage, by).value
    loss.backward()
    assert logprobs.grad is not None
    return float(loss.detach()), logprobs.grad


def plain(of: TokenTerms, stage: GRPO) -> torch.Tensor:
    """The loss, one token after the other, with scalars."""
    rows, tokens = of.mask.shape
    lengths = of.mask.sum(1).tolist()
    assert of.old is not None
    assert of.reference is not None
    assert of.sampler is not None
    assert of.entropy is not None
    total = torch.zeros((), dtype=torch.float64)
    for i in range(rows):
        inside = [t for t in range(tokens) if of.mask[i, t]]
        log_ratios = [of.logprobs[i, t] - of.old[i, t] for t in inside]
        mean_ratio = torch.exp(sum(log_ratios, torch.zeros(())) / len(inside))
        for t, log_ratio in zip(inside, log_ratios, strict=True):
            ratio = torch.exp(log_ratio) if stage.ratio == "token" else mean_ratio
            advantage = of.advantages[i]
            if stage.loss.kind == "cispo":
                loss = -min(float(ratio.detach()), 1 + stage.epsilon.high) * advantage * of.logprobs[i, t]
            else:
                clipped = ratio.clamp(1 - stage.epsilon.low, 1 + stage.epsilon.high)
                free = ratio if stage.delta is None else ratio.clamp(max=stage.delta)
                loss = -torch.minimum(free * advantage, clipped * advantage)
            if stage.sampler_correction is not None:
                loss = loss * min(math.exp(of.old[i, t] - of.sampler[i, t]), stage.sampler_correction.high)
            if stage.beta:
                d = of.reference[i, t] - of.logprobs[i, t]
                kl = {"k1": -d, "k2": d * d / 2, "k3": torch.exp(d) - d - 1}[stage.kl_estimator]
                loss = loss + stage.beta * kl * (ratio if stage.kl_unbiased else 1)
            share = {
                "grpo": 1 / (rows * lengths[i]),
                "bnpo": 1 / sum(lengths),
                "dapo": 1 / sum(lengths),
                "dr_grpo": 1 / (rows * stage.max_tokens),
            }[stage.aggregation]
            total = total + loss * share - stage.entropy_bonus.weight * of.entropy[i, t] / sum(lengths)
    return total


def assert_plain(stage: GRPO) -> None:
    of = terms()
    value, gradient = value_and_gradient(of, stage, whole(of))
    logprobs = of.logprobs.clone().requires_grad_()
    expected = plain(replace(of, logprobs=logprobs), stage)
    expected.backward()
    assert value == pytest.approx(float(expected.detach()), abs=1e-10)
    torch.testing.assert_close(gradient, logprobs.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_aggregations_equal_the_plain_formula(aggregation: Any, ratio: Any) -> None:
    assert_plain(GRPO(aggregation=aggregation, ratio=ratio, beta=0.3, max_tokens=10))


@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize(
    "extra",
    [{}, {"surrogate": "cispo"}, {"delta": 1.5, "sampler_correction": 1.1}, {"entropy_bonus": 0.2}],
    ids=["plain", "cispo", "dual clip and correction", "entropy"],
)
def test_variants_equal_the_plain_formula(
    ratio: Any, estimator: Any, unbiased: bool, extra: dict[str, Any]
) -> None:
    chosen = {"ratio": ratio, "kl_estimator": estimator, "kl_unbiased": unbiased, "beta": 0.3, **extra}
    assert_plain(GRPO(epsilon=Epsilon(low=0.1, high=0.2), **chosen))


@settings(deadline=None, max_examples=30)
@given(
    cut=st.integers(1, 3),
    aggregation=st.sampled_from(AGGREGATIONS),
    ratio=st.sampled_from(["token", "sequence"]),
    loss=st.sampled_from(["clip", "clip_cov", "kl_cov"]),
    seed=st.integers(0, 50),
)
def test_micro_batches_add_up_to_the_whole(
    cut: int, aggregation: Any, ratio: Any, loss: Any, seed: int
) -> None:
    stage = GRPO(aggregation=aggregation, ratio=ratio, loss=loss, beta=0.1, entropy_bonus=0.1, max_tokens=9)
    of = terms(seed)
    value, gradient = value_and_gradient(of, stage, whole(of))
    pieces = [
        TokenTerms(**{name: tensor[part] for name, tensor in vars(of).items()})
        for part in (slice(0, cut), slice(cut, None))
    ]
    parts = [value_and_gradient(piece, stage, whole(of)) for piece in pieces]
    assert sum(part for part, _ in parts) == pytest.approx(value, abs=1e-12)
    torch.testing.assert_close(torch.cat([grad for _, grad in parts]), gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_padding_never_matters_whatever_stands_there(aggregation: Any) -> None:
    of = terms()
    stage = GRPO(
        aggregation=aggregation, ratio="sequence", beta=0.1, sampler_correction=2.0, entropy_bonus=0.1
    )
    value, gradient = value_and_gradient(of, stage, whole(of))
    junk = {
        "logprobs": -math.inf,
        "old": math.inf,
        "reference": math.nan,
        "sampler": 1e30,
        "entropy": math.nan,
    }
    garbage = {name: torch.where(of.mask, getattr(of, name), value) for name, value in junk.items()}
    dirty_value, dirty_gradient = value_and_gradient(replace(of, **garbage), stage, whole(of))
    assert dirty_value == value
    torch.testing.assert_close(dirty_gradient, gradient, rtol=0, atol=0)
    assert not gradient[~of.mask].any()


def test_the_weight_of_a_step_stands_for_the_one_that_the_stage_begins_with() -> None:
    of, by = terms(), whole(terms())
    without, fixed = (grpo_loss(of, GRPO(entropy_bonus=bonus), by).value for bonus in (0.0, 0.3))  # type: ignore[arg-type]
    adapting = GRPO(entropy_bonus={"weight": 0.1, "target": 0.2})  # type: ignore[arg-type]
    assert float(grpo_loss(of, adapting, by, None, 0.3).value) == pytest.approx(float(fixed), abs=1e-12)
    assert float(grpo_loss(of, adapting, by, None, 0.0).value) == pytest.approx(float(without), abs=1e-12)
    assert abs(float(fixed - without)) > 0.01


def test_masked_sequences_count_in_grpo_and_vanish_in_token_means() -> None:
    mask = torch.tensor([[True, True], [False, False]])
    by = Denominators(sequences=2, tokens=2, mean_tokens=4.0)
    sums = {a: float(token_weights(mask, GRPO(aggregation=a, max_tokens=5), by).sum()) for a in AGGREGATIONS}
    assert sums == pytest.approx({"grpo": 0.5, "bnpo": 1.0, "dr_grpo": 0.2, "dapo": 0.5})


def test_kl_of_a_token_given_up_stays_finite_and_pulls_back() -> None:
    logprobs = torch.tensor([[-0.5, -9.0, -60.0, -1000.0]], requires_grad=True)
    kl = kl_estimates(logprobs, torch.full((1, 4), -0.5), GRPO(kl_estimator="k3"))
    kl.sum().backward()
    kl = kl.detach()
    assert logprobs.grad is not None
    assert kl[0, 0] == 0
    assert kl[0, 1] == pytest.approx(math.exp(8.5) - 9.5, rel=1e-6)
    assert torch.isfinite(kl).all()
    assert (kl.diff() > 0).all()
    # Descending the gradient raises the log-probability again, and no more steeply than at the bend.
    assert (logprobs.grad[0, 1:] < 0).all()
    assert logprobs.grad.abs().max() <= math.exp(10)


@settings(deadline=None)
@given(st.floats(-50, 60))
def test_bounded_exp_is_exp_and_then_its_tangent(x: float) -> None:
    value = float(bounded_exp(torch.tensor(x, dtype=torch.float64)))
    assert value == pytest.approx(math.exp(x) if x <= 10 else math.exp(10) * (x - 9), rel=1e-12)


@pytest.mark.parametrize(
    ("chosen", "missing"),
    [
        ({"beta": 0.1}, "reference"),
        ({"sampler_correction": 2.0}, "sampler"),
        ({"entropy_bonus": 1.0}, "entropy"),
    ],
)
def test_a_term_that_is_needed_and_missing_is_an_error(chosen: dict[str, Any], missing: str) -> None:
    of = replace(terms(), **{missing: None})
    with pytest.raises(ValueError, match=missing):
        grpo_loss(of, GRPO(**chosen), whole(of))


@pytest.mark.parametrize(
    ("advantage", "surrogate", "expected"),
    [
        (1.0, "clip", [False, False, False, False, True]),
        (-1.0, "clip", [True, False, False, False, False]),
        (0.0, "clip", [False] * 5),
        (1.0, "cispo", [False, False, False, False, True]),
        (-1.0, "cispo", [False] * 5),
        (0.0, "cispo", [False] * 5),
    ],
)
def test_a_token_is_clipped_beyond_the_range_and_not_at_its_edge(
    advantage: float, surrogate: Any, expected: list[bool]
) -> None:
    stage = GRPO(epsilon=Epsilon(low=0.25, high=0.5), surrogate=surrogate)
    ratio = torch.tensor([[0.74, 0.75, 1.0, 1.5, 1.51]])  # the edges are exact in binary
    ones, mask = torch.zeros_like(ratio), torch.ones_like(ratio, dtype=torch.bool)
    found = loss_of(stage)(Tokens(ones, ones, ratio, torch.tensor([[advantage]]), mask, stage))
    assert isinstance(found, TokenLosses)
    assert found.clipped is not None
    assert found.clipped.tolist() == [expected]
