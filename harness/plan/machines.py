"""Time and memory on a device by its data sheet: an estimate with its assumptions stated.

Learning runs at a share of the peak rate of matrix products (``LEARNING``). Sampling reads the weights and
the keys and values of every sequence once a token, or is bound by products: whichever is slower, and vLLM
reaches ``SAMPLING`` of that. Both shares are assumptions, not measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from harness.config import GRPO, SFT, Experiment, parts
from harness.plan.shapes import Architecture, architecture
from harness.plan.work import Work

LEARNING = 0.4
SAMPLING = 0.6
TRAINED = 16
"""Bytes a trained parameter takes: float32 weight and gradient, and AdamW's two moments."""
SAMPLER = 2
"""Bytes a parameter takes in the sampler or the reference policy, in bfloat16."""
ACTIVATIONS = 34
"""Bytes of activations per token, layer and hidden unit, kept for the backward pass (Korthikanti et al. 2022,
eq. 1, with fused attention)."""
FREE = 0.9
"""The share of a device's memory that can be used."""
GIB = 2**30


@dataclass(frozen=True)
class Device:
    """A data sheet: dense bfloat16 FLOP/s, memory bandwidth in bytes/s, memory in GiB."""

    name: str
    flops: float
    bandwidth: float
    memory: float


DEVICES: Mapping[str, Device] = {
    "h200": Device("H200 SXM", 989e12, 4.8e12, 131.0),
    "h100": Device("H100 SXM", 989e12, 3.35e12, 74.5),
    "a100": Device("A100 SXM 80 GB", 312e12, 2.04e12, 74.5),
    "l40s": Device("L40S", 362e12, 0.864e12, 44.7),
    "rtx4090": Device("RTX 4090", 165e12, 1.01e12, 22.4),
}


@dataclass(frozen=True)
class Memory:
    """GiB of one device in the two phases of a step; sampling gets what the other phase holds back too."""

    learning: float
    sampling: float


def memory(experiment: Experiment, devices: int) -> Memory:
    """What training takes on each of ``devices``, weights and optimizer sharded over them."""
    policy = architecture(experiment.policy)
    stages = [stage for stage in parts(experiment.stages) if isinstance(stage, GRPO | SFT)]
    tokens = max((stage.micro_batch_tokens for stage in stages), default=0)
    reference = any(isinstance(stage, GRPO) and stage.beta > 0 for stage in stages)
    held = policy.parameters * (TRAINED + SAMPLER * reference) / devices
    activations = ACTIVATIONS * tokens * policy.hidden * policy.layers
    longest = max((stage.max_tokens for stage in stages if isinstance(stage, GRPO)), default=0)
    sequences = max((stage.completions_per_step for stage in stages if isinstance(stage, GRPO)), default=0)
    keys = policy.cache * longest * min(sequences / devices, 64)
    return Memory((held + activations) / GIB, (held + policy.parameters * SAMPLER + keys) / GIB)


def seconds(part: Work, device: Device, devices: int) -> float:
    """How long ``devices`` devices take for one part."""
    learning = part.learning_flops / (LEARNING * device.flops * devices)
    return learning + sampling_seconds(part, architecture(part.policy), device, devices)


def sampling_seconds(part: Work, model: Architecture, device: Device, devices: int) -> float:
    """Token by token: memory is read, or products are done, whichever takes longer."""
    if not part.sampled:
        return 0.0
    weights = SAMPLER * model.parameters
    context = part.prompt + part.length / 2
    room = FREE * device.memory * GIB - weights
    if room <= 0:
        return math.inf
    at_once = max(1.0, min(part.batch / devices, room / (model.cache * (part.prompt + part.length))))
    reading = (weights + at_once * model.cache * context) / device.bandwidth
    products = 2 * model.shape.parameters * at_once / device.flops
    tokens = part.sampled / devices / at_once
    return tokens * max(reading, products) / SAMPLING
