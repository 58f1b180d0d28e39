"""Advantages against the conventions written plainly with numpy."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from evals.base.errors import JobError, UsageError
from harness.config import GRPO
from harness.train.grpo.advantages import advantages, equal_rewards
from harness.train.grpo.loss import Denominators, TokenTerms, grpo_loss

GRADES = arrays.arrays(
    np.float64, (4, 5), elements=st.sampled_from([0.0, 0.1, 0.25, 1.0, 1.2, -0.5, float("nan")])
)


def plain(rewards: np.ndarray, stage: GRPO) -> np.ndarray:
    """Completion by completion."""
    found = np.zeros_like(rewards)
    everything = rewards[~np.isnan(rewards)]
    for group in range(len(rewards)):
        scored = [i for i in range(rewards.shape[1]) if not np.isnan(rewards[group, i])]
        values = rewards[group, scored]
        if len(set(values)) < 2:
            continue
        for place, i in enumerate(scored):
            others = values if stage.baseline == "mean" else np.delete(values, place)
            spread = {"group": values, "batch": everything, "none": None}[stage.scale_rewards]
            scale = 1.0 if spread is None else np.std(spread, ddof=stage.std_ddof) + stage.std_epsilon
            found[group, i] = (rewards[group, i] - others.mean()) / scale
    return found


@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize(("ddof", "epsilon"), [(1, 1e-4), (1, 1e-9), (0, 1e-8), (1, 0.0)])
@settings(deadline=None, max_examples=20)
@given(rewards=GRADES)
def test_equals_the_plain_formula(
    baseline: Any, scale: Any, ddof: Any, epsilon: float, rewards: np.ndarray
) -> None:
    stage = GRPO(baseline=baseline, scale_rewards=scale, std_ddof=ddof, std_epsilon=epsilon)
    found = advantages(torch.from_numpy(rewards), stage).numpy()
    np.testing.assert_allclose(found, plain(rewards, stage), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_trl_default_on_a_known_group(scale: Any) -> None:
    found = advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), GRPO(scale_rewards=scale))
    size = 0.5 / (1 if scale == "none" else (1 / 3) ** 0.5 + 1e-4)
    torch.testing.assert_close(found, torch.tensor([[size, -size, -size, size]]))


def test_equal_rewards_give_exactly_zero_whatever_their_rounding() -> None:
    rewards = torch.full((2, 7), 0.1 + 0.2)
    rewards[1, 3] = torch.nan
    for scale in ("group", "batch", "none"):
        assert not advantages(rewards, GRPO(scale_rewards=scale, std_epsilon=0.0)).any()
    assert equal_rewards(rewards).all()


def test_unscored_completions_neither_gain_nor_count() -> None:
    rewards = torch.tensor([[1.0, torch.nan, 0.0], [torch.nan] * 3])
    found = advantages(rewards, GRPO())
    assert found[0, 1] == 0
    assert not found[1].any()
    torch.testing.assert_close(found[0, [0, 2]], advantages(torch.tensor([[1.0, 0.0]]), GRPO())[0])
    assert equal_rewards(rewards).tolist() == [False, True]


def test_opo_weighs_the_baseline_by_length() -> None:
    rewards = torch.tensor([[1.0, 0.0, torch.nan], [2.0, 2.0, 2.0]], dtype=torch.float64)
    lengths = torch.tensor([[30, 10, 500], [1, 2, 3]])
    found = advantages(rewards, GRPO(advantage="opo"), lengths)  # type: ignore[arg-type]
    assert found.tolist() == [[0.25, -0.75, 0.0], [0.0, 0.0, 0.0]]


def token_whitened(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Every token's value normalised over all tokens, then read off completion by completion."""
    tokens = np.repeat(values.ravel(), lengths.ravel())
    return (values - tokens.mean()) / np.sqrt(tokens.var(ddof=1) + 1e-8)


@pytest.mark.parametrize("baseline", ["group", "none"])
def test_reinforce_plus_plus_normalises_the_tokens_of_the_step(baseline: str) -> None:
    rewards = np.array([[1.0, 0.0, 0.0, 1.0], [0.2, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    lengths = np.array([[3, 9, 1, 4], [2, 2, 8, 5], [7, 1, 1, 2]])
    stage = GRPO(advantage={"kind": "reinforce_plus_plus", "baseline": baseline})  # type: ignore[arg-type]
    found = advantages(torch.from_numpy(rewards), stage, torch.from_numpy(lengths)).numpy()
    centred = rewards - rewards.mean(1, keepdims=True) if baseline == "group" else rewards
    np.testing.assert_allclose(found, token_whitened(centred, lengths), rtol=0, atol=1e-12)
    assert abs((found * lengths).sum()) < 1e-9
    # What was not scored takes no part.
    unscored = np.column_stack([rewards, np.full(3, np.nan)])
    more = torch.from_numpy(np.column_stack([lengths, np.full(3, 50)]))
    again = advantages(torch.from_numpy(unscored), stage, more).numpy()
    np.testing.assert_allclose(again[:, :4], found, rtol=0, atol=1e-12)
    assert not again[:, 4].any()


def over_all_sets(passed: list[int], k: int) -> list[float]:
    """Pass@k by its definition: every set of k completions is scored, normalised, and shared out."""
    sets = list(combinations(range(len(passed)), k))
    scores = np.array([max(passed[i] for i in chosen) for chosen in sets], dtype=float)
    if scores.std() == 0:
        return [0.0] * len(passed)
    scores = (scores - scores.mean()) / scores.std()
    return [
        float(np.mean([score for score, chosen in zip(scores, sets, strict=True) if i in chosen]))
        for i in range(len(passed))
    ]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_pass_at_k_is_the_mean_over_all_sets_of_k(k: int) -> None:
    stage = GRPO(advantage={"kind": "pass_at_k", "k": k})  # type: ignore[arg-type]
    groups = [[1] * passed + [0] * (6 - passed) for passed in range(7)]
    found = advantages(torch.tensor(groups, dtype=torch.float64), stage)
    expected = [over_all_sets(passed, k) for passed in groups]
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)
    assert found.any()


def test_pass_at_k_leaves_out_what_was_not_scored_and_knows_its_limits() -> None:
    stage = GRPO(advantage={"kind": "pass_at_k", "k": 2})  # type: ignore[arg-type]
    nan = torch.nan
    rewards = torch.tensor([[0.9, 0.1, 0.1, nan], [1.0, nan, nan, nan], [nan] * 4], dtype=torch.float64)
    found = advantages(rewards, stage)
    assert found[0].tolist() == pytest.approx([*over_all_sets([1, 0, 0], 2), 0.0])
    assert not found[1:].any()
    strict = GRPO(advantage={"kind": "pass_at_k", "k": 5})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"grpo.advantage.k \(5\) must be at most grpo.group_size \(4\)"):
        advantages(rewards, strict)


@pytest.mark.parametrize("scale", ["none", "group"])
def test_length_aware_is_the_group_advantage_of_the_papers_reward(scale: Any) -> None:
    rewards = np.array([[1.0, 1.0, 1.0, 0.0, 0.1], [1.0, 1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0, np.nan]])
    lengths = np.array([[10, 20, 60, 5, 80], [4, 4, 4, 4, 4], [9, 8, 7, 6, 5]])
    shaped = rewards.copy()
    for row in range(3):
        right = lengths[row][rewards[row] >= 0.5]
        for i in range(5):
            if rewards[row, i] >= 0.5:
                z = 0.0 if right.std() == 0 else (lengths[row, i] - right.mean()) / right.std()
                shaped[row, i] *= 1 - 0.4 / (1 + np.exp(-z))
    common: dict[str, Any] = {"baseline": "leave_one_out", "scale_rewards": scale}
    stage = GRPO(advantage={"kind": "length_aware", "alpha": 0.4}, **common)  # type: ignore[arg-type]
    found = advantages(torch.from_numpy(rewards), stage, torch.from_numpy(lengths)).numpy()
    np.testing.assert_allclose(found, plain(shaped, stage), rtol=0, atol=1e-12)
    assert found[0, 0] > found[0, 1] > found[0, 2] > 0 > found[0, 4] > found[0, 3]
    assert not found[1].any()
    free = GRPO(advantage={"kind": "length_aware", "alpha": 0.0}, **common)  # type: ignore[arg-type]
    torch.testing.assert_close(
        advantages(torch.from_numpy(rewards), free, torch.from_numpy(lengths)),
        advantages(torch.from_numpy(rewards), GRPO(**common)),
    )


def test_dr_grpo_is_a_combination_of_settings() -> None:
    """Its eq. 3: sum over i and t of (r_i - mean r) log-ratio gradient, divided by constants alone."""
    stage = GRPO(aggregation="dr_grpo", scale_rewards="none", max_tokens=10)
    rewards = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    values = advantages(rewards, stage)[0]
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]]).bool()
    logprobs = torch.full((3, 4), -1.0, dtype=torch.float64, requires_grad=True)
    whole = Denominators(3, int(mask.sum()), float(mask.sum()))
    grpo_loss(TokenTerms(logprobs, mask, values), stage, whole).value.backward()
    assert logprobs.grad is not None
    expected = -(rewards[0] - rewards[0].mean())[:, None] * mask / (3 * 10)
    torch.testing.assert_close(logprobs.grad, expected)


def test_a_function_of_one_s_own(tmp_path: Path) -> None:
    file = tmp_path / "own_advantages.py"
    file.write_text(
        "import torch\n"
        "def rank(groups): return groups.rewards.argsort(1).argsort(1).double()\n"
        "def flat(groups): return groups.rewards.sum(1)\n"
        "def infinite(groups): return groups.rewards / 0\n"
    )
    rewards = torch.tensor([[0.5, 2.0, torch.nan]])
    assert advantages(rewards, GRPO(advantage=f"{file}:rank")).tolist() == [[0.0, 1.0, 0.0]]  # type: ignore[arg-type]
    for name, said in [("flat", r"returned the shape \(1,\)"), ("infinite", "not finite")]:
        with pytest.raises(JobError, match=said):
            advantages(rewards, GRPO(advantage=f"{file}:{name}"))  # type: ignore[arg-type]
