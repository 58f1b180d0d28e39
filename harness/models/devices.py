"""What one device can do: data sheets of GPUs, and the rate that a matrix product reaches here.

One table for the plan, for the utilisation of a step and for what a paper's cell would take.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Device:
    """A data sheet, dense and without sparsity.

    ``part`` is what CUDA's name of the device contains. ``flops`` are FLOP/s in bfloat16 and
    ``flops_float32`` in float32 (no TF32), ``bandwidth`` is the memory's in bytes/s, ``memory`` is in GiB.
    """

    name: str
    part: str
    flops: float
    flops_float32: float
    bandwidth: float
    memory: float


# bfloat16 is dense (half of what is stated with sparsity), float32 without tensor cores. The figures of H100
# (SXM and PCIe), L40S and L4, and the A10G's bandwidth and memory, were compared with the makers' data sheets
# as they are quoted, and agree. The A10G's 70 and the RTX 4090's 165 TFLOP/s rest on what the field quotes.
# ``memory`` is below what is sold: an estimate, in GiB, of what CUDA leaves of it.
DEVICES: Mapping[str, Device] = {
    "h200": Device("H200 SXM", "H200", 989e12, 67e12, 4.8e12, 131.0),
    "h100-pcie": Device("H100 PCIe", "H100 PCIe", 756e12, 51e12, 2.0e12, 74.5),
    "h100": Device("H100 SXM", "H100", 989e12, 67e12, 3.35e12, 74.5),
    "a100": Device("A100 SXM 80 GB", "A100", 312e12, 19.5e12, 2.04e12, 74.5),
    "l40s": Device("L40S", "L40S", 362e12, 91.6e12, 0.864e12, 44.7),
    "l4": Device("L4", "L4", 121e12, 30.3e12, 0.3e12, 22.4),
    "a10g": Device("A10G", "A10G", 70e12, 31.5e12, 0.6e12, 22.4),
    "rtx4090": Device("RTX 4090", "RTX 4090", 165e12, 82.6e12, 1.01e12, 22.4),
}
"""By the names that ``--device`` takes; of several that fit CUDA's name the first counts."""
SIDES: Mapping[str, tuple[int, ...]] = {"cuda": (8192,), "cpu": (512, 1024)}
"""How large the measured products are, by the kind of device: large enough to keep it busy. Where other work
takes a CPU's cores too, a short product is likelier to get through without an interruption."""
ROUNDS = 5
"""Products of each size at least, and at least ``MEASURING`` seconds of them on a CPU."""
MEASURING = 0.3
TRIES = 5
"""A CPU's peak is measured so many times at most."""

_measured: dict[tuple[torch.device, torch.dtype, int], list[float]] = {}


def peak_flops(device: torch.device, dtype: torch.dtype, reached: float = 0.0) -> float | None:
    """FLOP/s of matrix products in ``dtype`` on one device: a GPU's by its data sheet, a CPU's measured.

    ``reached`` is a rate that was seen: a measured peak below it was disturbed by other work, and is measured
    again. None where the peak is not known, or is still below what was reached.
    """
    if device.type == "cpu":
        found: float | None = _measured_peak(device, dtype, reached)
    else:
        found = _stated_peak(device, dtype)
    return None if found is None or found < reached else found


def _measured_peak(device: torch.device, dtype: torch.dtype, reached: float) -> float:
    """The highest of what was measured so far, on as many threads as there are now."""
    tries = _measured.setdefault((device, dtype, torch.get_num_threads()), [])
    if not tries or (max(tries) < reached and len(tries) < TRIES):
        tries.append(measured_flops(device, dtype))
    return max(tries)


def _stated_peak(device: torch.device, dtype: torch.dtype) -> float | None:
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    found = next((sheet for sheet in DEVICES.values() if sheet.part in name), None)
    if found is None:
        return None
    return found.flops_float32 if dtype == torch.float32 else found.flops


def memory_gib(device: torch.device) -> float:
    """The highest memory use so far: of this process on a CPU, of its tensors on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / (2**30 if sys.platform == "darwin" else 2**20)  # macOS counts bytes, Linux KiB


def measured_flops(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest of some products of square matrices, on a CPU on this process's threads."""
    sides = SIDES[device.type]
    pairs = [[torch.ones(side, side, dtype=dtype, device=device) for _ in range(2)] for side in sides]
    fastest = 0.0
    began, rounds = time.perf_counter(), 0
    while rounds < ROUNDS or (device.type == "cpu" and time.perf_counter() - began < MEASURING):
        rounds += 1
        for side, (left, right) in zip(sides, pairs, strict=True):
            started = time.perf_counter()
            float((left @ right)[0, 0])  # reading a value waits for the device
            fastest = max(fastest, 2.0 * side**3 / (time.perf_counter() - started))
    return fastest


def visible_devices() -> list[str]:
    """The CUDA devices that this process may use; none where there are none."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [device for device in named.split(",") if device.strip() not in ("", "-1")]
    return sorted((path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")), key=int)
