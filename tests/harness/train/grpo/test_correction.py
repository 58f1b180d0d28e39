"""Corrections for the sampler's difference: float64 references, finite differences, what masks leave out."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.config import GRPO, set_key
from harness.config.kinds import LOSSES
from harness.train.grpo.correction import Correction, correction_of, truncated, within
from harness.train.grpo.loss import Denominators, TokenTerms, grpo_loss
from harness.train.grpo.metrics import TokenMeans

OLD = [[-0.5, -2.0, -1.0, -0.3], [-1.5, -0.2, -0.7, -4.0], [-0.1, -0.1, -3.0, -2.0]]
SAMPLER = [[-0.6, -4.5, -0.2, -0.3], [-1.4, -0.25, -0.7, -9.0], [-0.1, -0.11, 0.0, 0.0]]
LENGTHS = [4, 3, 2]
"""Ratios e^0.1, e^2.5, e^-0.8, 1; e^-0.1, e^0.05, 1; 1, e^0.01. What stands behind a row's end is padding."""


def terms() -> TokenTerms:
    rng = torch.Generator().manual_seed(0)
    old = torch.tensor(OLD, dtype=torch.float64)
    return TokenTerms(
        logprobs=old + 0.2 * torch.randn(old.shape, generator=rng, dtype=torch.float64),
        mask=torch.arange(4) < torch.tensor(LENGTHS)[:, None],
        advantages=torch.tensor([1.0, -0.7, 0.4], dtype=torch.float64),
        old=old,
        reference=old - 0.1,
        sampler=torch.tensor(SAMPLER, dtype=torch.float64),
    )


def plain(stage: GRPO) -> list[list[float]]:
    """What each token's loss is multiplied by, one scalar after the other; padding left out."""
    chosen, bounds, found = stage.sampler_correction, stage.sampler_mask, []
    for old, sampler, length in zip(OLD, SAMPLER, LENGTHS, strict=True):
        logs = [a - b for a, b in zip(old[:length], sampler[:length], strict=True)]
        row = [1.0] * length
        if chosen is not None:
            whole = math.prod(math.exp(log) for log in logs)
            for t, log in enumerate(logs):
                ratio = math.exp(log) if chosen.level == "token" else whole
                if chosen.outside == "truncate":
                    row[t] = max(min(ratio, chosen.high), chosen.low)
                else:
                    row[t] = ratio if chosen.low <= ratio <= chosen.high else 0.0
        if bounds is not None:
            mean = math.prod(math.exp(log) for log in logs) ** (1 / length)
            row = [weight if bounds.low <= mean <= bounds.high else 0.0 for weight in row]
        found.append(row)
    return found


TABLES = [
    2.0,
    {"high": 1.5, "low": 0.7},
    {"outside": "mask", "high": 2.0},
    {"outside": "mask", "low": 0.5, "high": 5.0},
    {"level": "sequence", "high": 2.0},
    {"level": "sequence", "low": 0.99, "high": 2.0},
    {"level": "sequence", "outside": "mask", "high": 2.0},
    None,
]
NAMES = ["TIS", "TIS, two bounds", "MIS", "IcePop", "sequence TIS", "two bounds", "sequence MIS", "none"]


@pytest.mark.parametrize("bounds", [None, {"low": 0.97, "high": 1.02}], ids=["", "geometric mask"])
@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_every_correction_equals_the_plain_formula(table: Any, bounds: Any) -> None:
    of, stage = terms(), GRPO(sampler_correction=table, sampler_mask=bounds)
    assert of.old is not None
    found = correction_of(of.old, of.sampler, of.mask, stage).applied()
    if table is None and bounds is None:
        assert found is None
        return
    assert found is not None
    for row, length, expected in zip(found.expand(3, 4), LENGTHS, plain(stage), strict=True):
        assert row[:length].tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["clip", "gspo_token", "sapo"])
@pytest.mark.parametrize("table", TABLES[:-1], ids=NAMES[:-1])
def test_the_losss_gradient_is_that_of_finite_differences(table: Any, kind: str) -> None:
    """Of the loss with the weights as constants, which they are: they do not depend on the policy."""
    of, width = terms(), 1e-6
    stage = GRPO(
        loss=kind,  # type: ignore[arg-type]
        sampler_correction=table,
        sampler_mask={"low": 0.9, "high": 1.7},  # type: ignore[arg-type]
        beta=0.1,
    )
    by = Denominators(3, sum(LENGTHS), sum(LENGTHS))
    leaf = of.logprobs.clone().requires_grad_()
    grpo_loss(replace(of, logprobs=leaf), stage, by).value.backward()
    assert leaf.grad is not None
    for i, t in product(range(3), range(4)):
        values = []
        for sign in (1, -1):
            moved = of.logprobs.clone()
            moved[i, t] += sign * width
            # gspo_token has a gradient by token that its value does not show: only a row's sum is told.
            values.append(float(grpo_loss(replace(of, logprobs=moved), stage, by).value))
        slope = (values[0] - values[1]) / (2 * width)
        if kind != "gspo_token" or stage.sampler_correction is None:
            assert float(leaf.grad[i, t]) == pytest.approx(slope, abs=1e-8)
    if kind == "gspo_token":
        assert leaf.grad[of.mask].isfinite().all()


def test_a_masked_token_has_no_gradient_and_still_counts_in_the_denominator() -> None:
    of = terms()
    by = Denominators(3, sum(LENGTHS), sum(LENGTHS))

    def gradient(**settings: Any) -> torch.Tensor:
        leaf = of.logprobs.clone().requires_grad_()
        stage = GRPO(aggregation="bnpo", epsilon={"low": 0.99, "high": 9.0}, **settings)
        grpo_loss(replace(of, logprobs=leaf), stage, by).value.backward()
        assert leaf.grad is not None
        return leaf.grad

    whole, masked = gradient(), gradient(sampler_correction={"outside": "mask", "low": 0.5, "high": 5.0})
    assert masked[0].count_nonzero() == 2  # e^2.5 and e^-0.8 are outside
    ratios = torch.tensor([math.exp(0.1), 0.0, 0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(masked[0], whole[0] * ratios, rtol=1e-12, atol=0)
    assert not gradient(sampler_mask={"low": 0.99, "high": 1.01})[:2].any()


@pytest.mark.parametrize("table", TABLES[:-1], ids=NAMES[:-1])
@pytest.mark.parametrize("kind", LOSSES.built_in)
def test_every_loss_takes_every_correction(kind: str, table: Any) -> None:
    """Masked completions have no gradient, whatever the loss; padding of any value changes nothing."""
    of, by = terms(), Denominators(3, sum(LENGTHS), sum(LENGTHS))
    stage = GRPO(
        loss=kind,  # type: ignore[arg-type]
        sampler_correction=table,
        sampler_mask={"low": 0.9, "high": 1.1},  # type: ignore[arg-type]
    )

    def gradient(of: TokenTerms) -> torch.Tensor:
        leaf = of.logprobs.clone().requires_grad_()
        grpo_loss(replace(of, logprobs=leaf), stage, by).value.backward()
        assert leaf.grad is not None
        return leaf.grad

    found = gradient(of)
    assert found.isfinite().all()
    assert not found[0].any()  # its geometric mean is e^0.45
    assert found[2, :2].all()
    assert of.sampler is not None
    dirty = replace(of, sampler=torch.where(of.mask, of.sampler, -1e30))
    torch.testing.assert_close(gradient(dirty), found, rtol=0, atol=0)


def test_vespo_takes_a_sequences_weight_once_and_not_for_each_token() -> None:
    of, by = terms(), Denominators(3, sum(LENGTHS), sum(LENGTHS))
    values = [
        float(grpo_loss(of, GRPO(loss="vespo", sampler_correction=table), by).value)  # type: ignore[arg-type]
        for table in ({"high": 1e4}, {"level": "sequence", "high": 1e9})
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-12)


@settings(deadline=None)
@given(st.floats(-800, 800), st.floats(0.01, 0.9), st.floats(1.1, 50))
def test_bounds_hold_for_any_ratio(log_ratio: float, low: float, high: float) -> None:
    x = torch.tensor([[log_ratio]], dtype=torch.float64)
    weight = float(truncated(x, low, high))
    assert low * (1 - 1e-12) <= weight <= high * (1 + 1e-12)
    assert bool(within(x, low, high)) == (math.log(low) <= log_ratio <= math.log(high))
    assert float(truncated(x, 0.0, high)) <= high * (1 + 1e-12)


def test_what_is_masked_is_told() -> None:
    of, means = terms(), TokenMeans()
    stage = GRPO(sampler_correction={"outside": "mask", "low": 0.5, "high": 5.0})  # type: ignore[arg-type]
    means.add_loss(grpo_loss(of, stage, Denominators(3, 9, 9)), of)
    values = means.values()
    assert values["correction/masked"] == pytest.approx(2 / 9)
    assert values["correction"] == pytest.approx(sum(sum(row) for row in plain(stage)) / 9)
    off = TokenMeans()
    off.add_loss(grpo_loss(of, GRPO(), Denominators(3, 9, 9)), of)
    assert not {"correction", "correction/masked"} & set(off.values())
    assert Correction().applied() is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sampler_correction": 0}, "greater than 0"),
        ({"sampler_correction": {"low": 3.0, "high": 2.0}}, "low \\(3\\) must be below high \\(2\\)"),
        ({"sampler_correction": {"level": "group"}}, "token"),
        ({"sampler_mask": {"low": 1.0, "high": 1.0}}, "must be below"),
    ],
)
def test_bounds_that_leave_nothing_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        GRPO(**settings)


@pytest.mark.parametrize("settings", [{"sampler_correction": 2.0}, {"sampler_mask": {"low": 0.9, "high": 2}}])
def test_without_the_samplers_log_probabilities_nothing_is_corrected(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="need the sampler's log-probabilities"):
        grpo_loss(replace(terms(), sampler=None), GRPO(**settings), Denominators(3, 9, 9))


def test_one_number_stays_one_number() -> None:
    """In a run's experiment.toml, and for a sweep that varies it."""
    assert GRPO(sampler_correction=2.0).model_dump()["sampler_correction"] == 2.0  # type: ignore[arg-type]
    table = {"level": "token", "outside": "mask", "low": 0.5, "high": 5.0}
    assert GRPO(sampler_correction=table).model_dump()["sampler_correction"] == table  # type: ignore[arg-type]
    raw: dict[str, Any] = {"stages": [{"kind": "grpo", "sampler_correction": 2.0}]}
    set_key(raw, "grpo.sampler_correction.low", 0.5)
    assert raw["stages"][0]["sampler_correction"] == {"high": 2.0, "low": 0.5}
