"""How near a training step comes to what its device can do: model FLOPs utilisation (PaLM, section 4.1).

The peak is a data sheet's where the GPU is known, dense and without sparsity, and measured by a matrix
product on a CPU. Of a GPU that is not in the table nothing is said.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping

import torch

from harness.policy import Policy

PEAKS: Mapping[str, tuple[float, float]] = {
    "H200": (989e12, 67e12),
    "H100 PCIe": (756e12, 51e12),
    "H100": (989e12, 67e12),
    "A100": (312e12, 19.5e12),
    "L40S": (362e12, 91.6e12),
    "L4": (121e12, 30.3e12),
    "A10G": (70e12, 31.5e12),
    "RTX 4090": (165e12, 82.6e12),
}
"""Part of the device's name -> FLOP/s in bfloat16 and in float32 (no TF32); the first that fits counts."""
SIDE, ROUNDS = 1024, 5


@functools.cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """FLOP/s of matrix products in ``dtype`` on one device; None where it is not known."""
    if device.type == "cpu":
        return _measured(dtype)
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    found = next((peaks for part, peaks in PEAKS.items() if part in name), None)
    return None if found is None else found[dtype == torch.float32]


def utilisation(metrics: Mapping[str, float], policy: Policy, devices: int) -> dict[str, float]:
    """``mfu`` of a step and of each of its phases: model FLOPs over seconds times the peak of all devices.

    Rewards and dev evaluations do not count; a phase that took no FLOPs is left out.
    """
    peak = peak_flops(policy.device, policy.dtype)
    if peak is None:
        return {}
    phases = [p for p in ("rollout", "update") if metrics.get(f"flops/{p}") and metrics[f"seconds/{p}"] > 0]
    found = {
        f"mfu/{phase}": metrics[f"flops/{phase}"] / (metrics[f"seconds/{phase}"] * peak * devices)
        for phase in phases
    }
    seconds = sum(metrics[f"seconds/{phase}"] for phase in phases)
    if seconds > 0:
        flops = sum(metrics[f"flops/{phase}"] for phase in phases)
        found["mfu"] = flops / (seconds * peak * devices)
    return found


def _measured(dtype: torch.dtype) -> float:
    """The fastest of a few products of square matrices, on this process's threads."""
    left, right = torch.ones(SIDE, SIDE, dtype=dtype), torch.ones(SIDE, SIDE, dtype=dtype)
    fastest = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        torch.mm(left, right)
        fastest = min(fastest, time.perf_counter() - started)
    return 2.0 * SIDE**3 / fastest
