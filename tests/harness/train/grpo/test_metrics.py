"""The arithmetic of the metrics, learning rates and weight decay."""

from __future__ import annotations

import pytest
import torch

from harness.config import GRPO
from harness.train.grpo.metrics import TokenMeans
from harness.train.optimizer import learning_rate_at, make_optimizer


def test_token_means_over_micro_batches_are_those_over_all_tokens() -> None:
    rng = torch.Generator().manual_seed(0)
    parts = [
        (torch.randn(rows, 5, generator=rng), torch.rand(rows, 5, generator=rng) > 0.4) for rows in (2, 3, 1)
    ]
    whole, first = TokenMeans(), TokenMeans()
    for number, (values, mask) in enumerate(parts):
        into = first if number == 0 else whole
        into.add("a", values, mask)
        into.highest("a/max", values, mask)
    whole.merge(first)
    chosen = torch.cat([values[mask] for values, mask in parts])
    assert whole.values() == pytest.approx({"a": float(chosen.mean()), "a/max": float(chosen.max())})


def test_a_mean_over_no_tokens_is_left_out() -> None:
    means = TokenMeans()
    means.add("a", torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool))
    means.highest("a/max", torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool))
    assert means.values() == {}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447]),
    ],
)
def test_learning_rates(schedule: str, expected: list[float]) -> None:
    stage = GRPO.model_validate({"steps": 6, "warmup_steps": 2, "schedule": schedule, "learning_rate": 2.0})
    rates = [learning_rate_at(stage, step) / 2.0 for step in range(1, 7)]
    assert rates == pytest.approx(expected, abs=1e-6)


def test_weight_decay_spares_vectors() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    matrices, vectors = make_optimizer(model, GRPO(weight_decay=0.1)).param_groups
    assert [len(group["params"]) for group in (matrices, vectors)] == [1, 3]
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
