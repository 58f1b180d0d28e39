"""The weight of the entropy bonus against the formula that it follows, and where it is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import EntropyBonus
from harness.train.grpo.entropy import EntropyWeight

ENTROPIES = st.lists(st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.3])), max_size=30)


@given(entropies=ENTROPIES, start=st.sampled_from([0.0, 0.01, 0.03]))
def test_the_weight_follows_the_formula(entropies: list[float | None], start: float) -> None:
    weight = EntropyWeight(EntropyBonus(weight=start, target=0.2, step=0.02, high=0.05))
    coefficient, active = start, False
    assert weight.value == 0
    for entropy in entropies:
        weight.follow(entropy)
        if entropy is not None:
            change = {0.1: 0.02, 0.2: 0.0, 0.3: -0.02}[entropy]
            coefficient = max(0.0, min(0.05, coefficient + change))
            active = entropy <= 0.2
        assert weight.value == pytest.approx(coefficient if active else 0.0, abs=1e-15)


@given(before=ENTROPIES, after=ENTROPIES)
def test_it_goes_on_from_its_state(before: list[float | None], after: list[float | None]) -> None:
    bonus = EntropyBonus(target=0.2)
    whole, resumed = EntropyWeight(bonus), EntropyWeight(bonus)
    for entropy in before:
        whole.follow(entropy)
    resumed.restore(whole.state())
    for entropy in after:
        whole.follow(entropy)
        resumed.follow(entropy)
        assert resumed.value == whole.value


def test_a_number_stays_and_needs_no_state() -> None:
    weight = EntropyWeight(EntropyBonus(weight=0.01))
    weight.follow(0.001)
    assert weight.value == 0.01
    assert not weight.adapts
    assert weight.state() == {}
    weight.restore({})
