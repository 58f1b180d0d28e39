"""A GPU's peak is its data sheet's, a CPU's is measured."""

from __future__ import annotations

import time

import pytest
import torch

from harness.models import devices

CPU = torch.device("cpu")


def test_on_a_cpu_the_peak_is_what_a_product_reaches() -> None:
    found = devices.peak_flops(CPU, torch.float32)
    assert found is not None
    left = torch.rand(512, 512)
    started = time.perf_counter()
    left @ left
    assert found > 0.05 * 2 * 512**3 / (time.perf_counter() - started)


def test_a_sheet_that_was_exceeded_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    gpu = torch.device("cuda", 0)
    assert devices.peak_flops(gpu, torch.bfloat16, reached=900e12) == 989e12
    assert devices.peak_flops(gpu, torch.bfloat16, reached=1000e12) is None


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
        assert devices.peak_flops(torch.device("cuda", number), torch.bfloat16) == flops
