"""Each warning on rows made for it, silence on healthy ones, and one telling however often one resumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.train.advice import WINDOW, Watch, advice_on

HEALTHY = {
    "reward": 0.5,
    "length": 20.0,
    "truncated": 0.0,
    "kl": 0.02,
    "drift": 0.01,
    "entropy": 0.4,
    "zero_variance": 0.3,
    "reward/accuracy": 0.5,
}
Rows = list[dict[str, Any]]


def numbered(rows: Rows) -> Rows:
    return [{"step": step, "stage": "grpo", **row} for step, row in enumerate(rows, start=1)]


def kinds(rows: Rows, **options: Any) -> list[str]:
    return [each.kind for each in advice_on(numbered(rows), **options)]


def test_a_healthy_run_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    rising: Rows = [
        {
            **HEALTHY,
            "reward": 0.3 + 0.01 * step + rng.normal(0, 0.05),
            "entropy": 0.4 / (1 + 0.1 * step),
            **(
                {"dev/pass@1": 0.3 + 0.005 * step + rng.normal(0, 0.02), "dev/stderr": 0.03}
                if step % 5 == 0
                else {}
            ),
        }
        for step in range(40)
    ]
    noisy = [{**HEALTHY, "reward": 0.5 if step % 2 else 0.3} for step in range(40)]
    negative = [{**HEALTHY, "reward": -0.5 - 0.01 * step} for step in range(40)]
    assert kinds(rising) == kinds(noisy) == kinds(negative) == []


@pytest.mark.parametrize(
    ("bad", "kind", "seen", "change"),
    [
        ({"kl": 3.0}, "kl", "KL 3 nats", "beta"),
        ({"truncated": 0.6, "length": 60.0}, "length", "60% of the completions hit", "max_tokens"),
        ({"reward": 0.01}, "reward", "fell from 0.5", "learning_rate"),
        ({"drift": 0.06}, "drift", "are 0.06 nats per token", "sampler_correction"),
        ({"entropy": 0.01}, "entropy", "nats per token over 5 steps (0.4 in", "entropy_bonus"),
        ({"zero_variance": 0.95, "reward/accuracy": 0.95}, "groups", "% of the groups", "harder"),
        ({"zero_variance": 1.0, "reward/accuracy": 0.0}, "groups", "% of the groups", "easier"),
    ],
)
def test_each_trouble_is_named_once(bad: dict[str, float], kind: str, seen: str, change: str) -> None:
    found = advice_on(numbered([HEALTHY] * WINDOW + [{**HEALTHY, **bad}] * 3 * WINDOW))
    assert [each.kind for each in found] == [kind]
    assert seen in str(found[0])
    assert change in found[0].change


def hacked(fall: float, rise: float) -> Rows:
    """Dev figures every ten steps that fall, and rewards with some noise that rise."""
    rng = np.random.default_rng(1)
    rows: Rows = []
    for step in range(1, 41):
        row = {**HEALTHY, "reward": 0.4 + rise * step / 40 + rng.normal(0, 0.02)}
        if step % 10 == 0:
            row |= {"dev/pass@1": 0.5 - fall * step / 40, "dev/stderr": 0.03}
        rows.append(row)
    return rows


def test_hacking_needs_both_a_reward_that_rises_and_dev_that_falls() -> None:
    assert kinds(hacked(fall=0.3, rise=0.4)) == ["hacking"]
    assert kinds(hacked(fall=0.3, rise=0.0)) == []
    assert kinds(hacked(fall=0.0, rise=0.4)) == []
    assert kinds(hacked(fall=0.05, rise=0.4)) == []  # within the noise of dev


def test_a_step_without_any_score_is_named() -> None:
    assert kinds([{"length": 20.0, "truncated": 0.0, "reward": None}] * 3) == ["scored"]
    assert kinds([{"loss": 1.0}] * 3) == []  # an "sft" stage scores nothing


def test_samples_of_an_earlier_policy_may_drift() -> None:
    rows: Rows = [{**HEALTHY, "drift": 0.2}]
    assert kinds(rows) == ["drift"]
    assert kinds(rows, experiment={"stages": [{"name": "grpo", "rollout_ahead": 1}]}) == []


def test_what_a_resumed_run_looks_back_on_is_not_told_again() -> None:
    rows = numbered(
        [HEALTHY] * WINDOW + [{**HEALTHY, "kl": 3.0}] * 5 + [{**HEALTHY, "reward": 0.01}] * WINDOW
    )
    whole = [each.kind for each in advice_on(rows)]
    resumed = Watch()
    for row in rows[:12]:
        resumed.see(row)
    rest = [each.kind for row in rows[12:] for each in resumed.see(row)]
    assert whole == ["kl", "reward"]
    assert rest == ["reward"]


def test_each_stage_is_looked_at_by_itself() -> None:
    """A second stage's first lengths are its own yardstick."""
    first = numbered([HEALTHY] * 3)
    second = [{**HEALTHY, "step": 4, "stage": "longer", "length": 90.0, "truncated": 0.6}]
    assert advice_on([*first, *second]) == []
