"""Utilisation is FLOPs over seconds times the peak, and nothing is said where the peak is not known."""

from __future__ import annotations

import dataclasses

import pytest

from harness.models import devices
from harness.models.policy import Policy
from harness.train.mfu import utilisation


def test_a_step_is_the_sum_of_its_phases(tiny_random_policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "peak_flops", lambda device, dtype, reached: 100.0)
    metrics = {"flops/rollout": 40.0, "seconds/rollout": 2.0, "flops/update": 90.0, "seconds/update": 1.0}
    found = utilisation(metrics, tiny_random_policy, count=2)
    assert found == pytest.approx({"mfu/rollout": 0.1, "mfu/update": 0.45, "mfu": 130 / 600})
    assert utilisation({"flops/update": 50.0, "seconds/update": 1.0}, tiny_random_policy, 1) == {
        "mfu/update": 0.5,
        "mfu": 0.5,
    }
    assert utilisation({"flops/update": 0.0, "seconds/update": 1.0}, tiny_random_policy, 1) == {}
    monkeypatch.setattr(devices, "peak_flops", lambda device, dtype, reached: None)
    assert utilisation(metrics, dataclasses.replace(tiny_random_policy), count=1) == {}


def test_a_rate_above_the_peak_is_not_shown(
    tiny_random_policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peak was measured while other work took the cores: it is measured again, then believed or not."""
    measured = iter([100.0, 300.0])
    monkeypatch.setattr(devices, "measured_flops", lambda device, dtype: next(measured, 200.0))
    monkeypatch.setattr(devices, "_measured", {})
    slow = {"flops/update": 50.0, "seconds/update": 1.0}
    assert utilisation(slow, tiny_random_policy, 1)["mfu"] == 0.5
    assert utilisation({**slow, "flops/update": 150.0}, tiny_random_policy, 1)["mfu"] == 0.5
    assert utilisation({**slow, "flops/update": 400.0}, tiny_random_policy, 1) == {}
    assert utilisation(slow, tiny_random_policy, 1)["mfu"] == pytest.approx(1 / 6)
