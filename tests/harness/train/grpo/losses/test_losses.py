"""Losses by name: against their papers' formulas, the contract, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from evals.base.errors import JobError, UsageError
from harness.config import GRPO, SamplerCorrection
from harness.config.kinds import LOSSES
from harness.train.grpo.loss import Denominators, TokenTerms, grpo_loss, loss_of


def terms(rows: int = 4, tokens: int = 5) -> TokenTerms:
    rng = torch.Generator().manual_seed(3)

    def normal(scale: float) -> torch.Tensor:
        return scale * torch.randn(rows, tokens, generator=rng, dtype=torch.float64)

    old = -normal(1.0).abs()
    mask = torch.arange(tokens) < torch.tensor([[5], [2], [4], [1]])
    advantages = torch.tensor([1.0, -0.5, 0.0, 2.0], dtype=torch.float64)
    logprobs, sampler = old + normal(0.5), old + normal(0.2)
    chosen = torch.arange(tokens) % 3 == torch.tensor([[1], [0], [1], [0]])
    return TokenTerms(logprobs, mask, advantages, old, sampler=sampler, chosen=chosen)


def gradient(stage: GRPO, of: TokenTerms) -> tuple[float, torch.Tensor]:
    leaf = of.logprobs.clone().requires_grad_()
    whole = Denominators(len(of.mask), int(of.mask.sum()), float(of.mask.sum()))
    loss = grpo_loss(TokenTerms(**{**vars(of), "logprobs": leaf}), stage, whole).value
    loss.backward()
    assert leaf.grad is not None
    return float(loss.detach()), leaf.grad


def test_gmpo_is_the_geometric_mean_of_the_papers_equation() -> None:
    of = terms()
    stage = GRPO(loss={"kind": "gmpo", "low": 0.3, "high": 0.2})  # type: ignore[arg-type]
    total = 0.0
    assert of.old is not None
    for i in range(len(of.mask)):
        advantage, product, count = float(of.advantages[i]), 1.0, 0
        for t in range(of.mask.shape[1]):
            if of.mask[i, t]:
                ratio = math.exp(of.logprobs[i, t] - of.old[i, t])
                clipped = min(max(ratio, math.exp(-0.3)), math.exp(0.2))
                product *= min(ratio, clipped) if advantage > 0 else max(ratio, clipped)
                count += 1
        total -= advantage * product ** (1 / count) / len(of.mask)
    assert gradient(stage, of)[0] == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("aggregation", ["grpo", "dapo"])
def test_gspo_token_is_gspo_but_for_the_samplers_correction(aggregation: Any) -> None:
    of = terms()
    own = GRPO(loss="gspo_token", epsilon=0.1, aggregation=aggregation)  # type: ignore[arg-type]
    plain = GRPO(ratio="sequence", epsilon=0.1, aggregation=aggregation)  # type: ignore[arg-type]
    mine, its = gradient(own, of), gradient(plain, of)
    assert mine[0] == pytest.approx(its[0], abs=1e-12)
    torch.testing.assert_close(mine[1], its[1], rtol=0, atol=1e-12)
    assert its[1].any()

    corrected = {"sampler_correction": SamplerCorrection(high=1.1)}
    _, mine_corrected = gradient(own.model_copy(update=corrected), of)
    _, its_corrected = gradient(plain.model_copy(update=corrected), of)
    assert of.old is not None
    assert of.sampler is not None
    weights = torch.where(of.mask, (of.old - of.sampler).exp().clamp(max=1.1), 0.0)
    torch.testing.assert_close(mine_corrected, mine[1] * weights, rtol=0, atol=1e-12)
    means = weights.sum(1, keepdim=True) / of.mask.sum(1, keepdim=True)
    torch.testing.assert_close(its_corrected, its[1] * means, rtol=0, atol=1e-12)


@pytest.mark.parametrize("divergence", ["tv", "kl"])
def test_dppo_masks_by_the_divergence_of_the_papers_binary_form(divergence: str) -> None:
    low, high, cap = 0.05, 0.1, 1.5
    chosen = {"kind": "dppo", "divergence": divergence, "low": low, "high": high, "cap": cap}
    # A token far above, a little above, far below and a little below the old policy, and a rare one that
    # has tripled: PPO would clip it, the trust region does not.
    policy, old = [0.8, 0.22, 0.1, 0.48, 0.003], [0.2, 0.2, 0.5, 0.5, 0.001]
    advantages = torch.tensor([2.0, -1.0], dtype=torch.float64)
    rows = [torch.tensor([of, of], dtype=torch.float64).log() for of in (policy, old)]
    mask = torch.ones(2, 5, dtype=torch.bool)
    _, found = gradient(GRPO(loss=chosen), TokenTerms(rows[0], mask, advantages, rows[1]))  # type: ignore[arg-type]
    stopped = set()
    for i, advantage in enumerate(advantages.tolist()):
        for t, (p, mu) in enumerate(zip(policy, old, strict=True)):
            kl = mu * math.log(mu / p) + (1 - mu) * math.log((1 - mu) / (1 - p))
            distance = abs(p - mu) if divergence == "tv" else kl
            bound, outward = (high, p > mu) if advantage > 0 else (low, p < mu)
            if outward and distance > bound:
                stopped.add((i, t))
            expected = 0.0 if (i, t) in stopped else -advantage * min(p / mu, cap) / (2 * 5)
            assert float(found[i, t]) == pytest.approx(expected, abs=1e-9)
    assert stopped == {(0, 0), (1, 2)}


def test_dppo_is_finite_where_a_token_is_certain() -> None:
    sure = torch.zeros(2, 2, dtype=torch.float64)
    old = torch.full_like(sure, -0.5)
    advantages = torch.tensor([1.0, -1.0], dtype=torch.float64)
    stage = GRPO(loss={"kind": "dppo", "divergence": "kl"})  # type: ignore[arg-type]
    for policy, before in ((sure, old), (old, sure)):
        of = TokenTerms(policy, torch.ones(2, 2, dtype=torch.bool), advantages, before)
        value, found = gradient(stage, of)
        assert math.isfinite(value)
        assert found.isfinite().all()


@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("kind", LOSSES.built_in)
def test_every_built_in_loss_keeps_the_contract(kind: str, ratio: Any) -> None:
    of, stage = terms(), GRPO(loss=kind, ratio=ratio, sampler_correction=1.5)  # type: ignore[arg-type]
    value, whole = gradient(stage, of)
    assert math.isfinite(value)
    assert not whole[~of.mask].any()
    assert of.chosen is not None
    assert not whole[2, ~of.chosen[2]].any()  # an advantage of 0
    assert kind == "kl_cov" or not whole[2].any()
    assert whole[of.mask & (of.advantages != 0)[:, None]].any()
    # Rows do not see each other: a row's gradient does not change with the others gone.
    alone = TokenTerms(**{k: v[:1] if v is not None else None for k, v in vars(of).items()})
    leaf = alone.logprobs.clone().requires_grad_()
    by = Denominators(len(of.mask), int(of.mask.sum()), float(of.mask.sum()))
    grpo_loss(TokenTerms(**{**vars(alone), "logprobs": leaf}), stage, by).value.backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, whole[:1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [kind for kind in LOSSES.built_in if kind not in ("cispo", "vespo", "dppo")])
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    """Where a loss is a plain function of log-probabilities; the others weigh by a constant."""
    of, stage, width = terms(), GRPO(loss=kind), 1e-6  # type: ignore[arg-type]
    _, found = gradient(stage, of)
    for i, t in [(0, 0), (0, 3), (1, 1), (3, 0)]:
        values = []
        for sign in (1, -1):
            moved = of.logprobs.clone()
            moved[i, t] += sign * width
            values.append(gradient(stage, TokenTerms(**{**vars(of), "logprobs": moved}))[0])
        assert float(found[i, t]) == pytest.approx((values[0] - values[1]) / (2 * width), abs=1e-7)


def test_a_loss_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from pydantic import BaseModel\n"
        "from evals.base.registry import takes\n"
        "class Settings(BaseModel):\n"
        "    scale: float = 1.0\n"
        "@takes(Settings)\n"
        "def plain(tokens, settings):\n"
        "    return -settings.scale * tokens.ratio * tokens.advantages\n"
        "def wrong(tokens):\n"
        "    return tokens.advantages.sum()\n"
    )
    of = terms()
    stage = GRPO(loss={"kind": f"{file}:plain", "scale": 2.0})  # type: ignore[arg-type]
    wide = GRPO(epsilon={"low": 0.99, "high": 1e9})  # type: ignore[arg-type]
    assert gradient(stage, of)[0] == pytest.approx(2 * gradient(wide, of)[0])
    with pytest.raises(JobError, match=r"grpo.loss: .*mine.py:wrong returned the shape \(\)"):
        gradient(GRPO(loss=f"{file}:wrong"), of)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"kind": "sapo", "tau": 1}, r"grpo.loss: unknown key 'tau'; accepted: temperature_positive"),
        ({"kind": "sapo", "temperature_positive": 0}, "grpo.loss.temperature_positive: Input should be"),
        ({"kind": "clip", "low": 0.1}, "grpo.loss: takes no settings, got low"),
        ("nowhere.py:x", "no such file"),
    ],
)
def test_what_is_refused(loss: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        loss_of(GRPO(loss=loss))


def test_unknown_names_and_the_earlier_key() -> None:
    with pytest.raises(ValueError, match="unknown loss 'sapoo'; did you mean 'sapo'"):
        GRPO(loss="sapoo")  # type: ignore[arg-type]
    assert GRPO.model_validate({"surrogate": "cispo"}).loss.kind == "cispo"
    assert GRPO.model_validate({"surrogate": "cispo", "loss": "clip"}).loss.kind == "cispo"
    for raw, said in [
        ({"surrogate": "sapo"}, "surrogate: accepted: clip, cispo"),
        ({"surrogate": "clip", "loss": "sapo"}, "surrogate has no effect with loss"),
    ]:
        with pytest.raises(ValueError, match=said):
            GRPO.model_validate(raw)
