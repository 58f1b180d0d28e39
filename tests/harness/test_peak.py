"""Utilisation is FLOPs over seconds times the peak, and nothing is said where the peak is not known."""

from __future__ import annotations

import dataclasses
import time

import pytest
import torch

from harness import peak
from harness.policy import Policy

CPU = torch.device("cpu")


def test_on_a_cpu_the_peak_is_what_a_product_reaches() -> None:
    found = peak.peak_flops(CPU, torch.float32)
    assert found is not None
    left = torch.rand(512, 512)
    started = time.perf_counter()
    left @ left
    assert found > 0.05 * 2 * 512**3 / (time.perf_counter() - started)


def test_known_gpus_go_by_their_data_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {
        "NVIDIA H200": 989e12,
        "NVIDIA H100 80GB HBM3": 989e12,
        "NVIDIA H100 PCIe": 756e12,
        "NVIDIA L4": 121e12,
        "NVIDIA L40S": 362e12,
        "Some GPU of next year": None,
    }
    names = list(expected)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[device.index])
    for number, flops in enumerate(expected.values()):
        assert peak.peak_flops(torch.device("cuda", number), torch.bfloat16) == flops


def test_a_step_is_the_sum_of_its_phases(tiny_random_policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "peak_flops", lambda device, dtype: 100.0)
    metrics = {"flops/rollout": 40.0, "seconds/rollout": 2.0, "flops/update": 90.0, "seconds/update": 1.0}
    found = peak.utilisation(metrics, tiny_random_policy, devices=2)
    assert found == pytest.approx({"mfu/rollout": 0.1, "mfu/update": 0.45, "mfu": 130 / 600})
    assert peak.utilisation({"flops/update": 50.0, "seconds/update": 1.0}, tiny_random_policy, 1) == {
        "mfu/update": 0.5,
        "mfu": 0.5,
    }
    assert peak.utilisation({"flops/update": 0.0, "seconds/update": 1.0}, tiny_random_policy, 1) == {}
    monkeypatch.setattr(peak, "peak_flops", lambda device, dtype: None)
    assert peak.utilisation(metrics, dataclasses.replace(tiny_random_policy), devices=1) == {}
