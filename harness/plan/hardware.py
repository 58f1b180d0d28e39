"""Time and memory on a device by its data sheet: an estimate with its assumptions stated.

Learning runs at a share of the peak rate of matrix products (``LEARNING``). Sampling reads the weights and
the keys and values of every sequence once a token, or is bound by products: whichever is slower, and an
engine reaches ``SAMPLING`` of that. But no decoding step is shorter than what sending its work to the device
takes (``least_step``): small models on fast devices wait for that. All are assumptions, not measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from harness.config import GRPO, Experiment, OnPolicyDistill, Policy, Training, are_sampled, parts
from harness.models import quantized
from harness.models.architecture import Architecture, architecture
from harness.models.devices import Device
from harness.models.flops import update_cost
from harness.plan.work import Work

LEARNING = 0.4
SAMPLING = 0.6
OPERATIONS = 45
"""Operations of a layer that the transformers engine sends to the device one by one in a decoding step, as
counted by a TorchDispatchMode for Llama's layers, views left out."""
SENDING = 10e-6
"""Seconds that PyTorch takes to send one, in eager mode."""
SCHEDULING = 3e-3
"""Seconds of a decoding step in which vLLM schedules and takes in tokens; operations go in one CUDA graph."""
LEARNED = 8
"""Bytes a trained parameter takes: float32 weight and gradient."""
MOMENTS: Mapping[str, float] = {"adamw": 8, "adamw8bit": 2 + 2 * 4 / 256}
"""Bytes of its two moments: float32 each, or a byte each and a float32 scale for 256 of them."""
FROZEN: Mapping[str, int] = {"float32": 4, "bfloat16": 2}
"""Bytes that a parameter which is not trained takes beside those that are, by the policy's dtype."""
WHOLE = 4
"""Bytes a parameter takes in float32: the transformers engine's copy beside shards, the reference policy."""
SAMPLER = 2
"""Bytes a parameter takes where it is read to sample, in bfloat16."""
ACTIVATIONS = 34
"""Bytes of activations per token, layer and hidden unit, kept for the backward pass in 16 bits (Korthikanti
et al. 2022, eq. 1, with fused attention)."""
BOUNDARY = 2
"""The same with ``gradient_checkpointing``: a block's input. One block at a time has the rest as well."""
FREE = 0.9
"""The share of a device's memory that can be used."""
GIB = 2**30
SAMPLING_STAGES = (GRPO, OnPolicyDistill)
"""Stages in which the policy in training is sampled."""


@dataclass(frozen=True)
class Memory:
    """GiB of one device in the two phases of a step; sampling gets what the other phase holds back too.

    ``host`` is what lies in the host's memory instead, all processes together.
    """

    learning: float
    sampling: float
    host: float = 0.0


def memory(experiment: Experiment, devices: int) -> Memory:
    """What training takes on each of ``devices``, weights and optimizer sharded over them.

    Where adapters learn, the frozen weights take the forward pass's dtype, and are the reference policy too.
    """
    policy = architecture(experiment.policy)
    stages = [stage for stage in parts(experiment.stages) if isinstance(stage, Training)]
    tokens = max((stage.micro_batch_tokens for stage in stages), default=0)
    trained = policy.parameters if experiment.policy.lora is None else policy.adapters
    moments = trained * max((MOMENTS[s.optimizer] for s in stages if not s.offload_optimizer), default=0.0)
    copied = WHOLE * policy.parameters if experiment.policy.lora is None else 0
    beside = [s.reference.offload for s in stages if isinstance(s, GRPO) and s.beta > 0]
    held = LEARNED * trained + moments + copied * (False in beside) + _frozen(experiment.policy, policy)
    held /= devices
    away = trained * max((MOMENTS[s.optimizer] for s in stages if s.offload_optimizer), default=0.0)
    away += copied * (True in beside)
    activations = _activations(experiment.policy, policy) * tokens
    longest = max((stage.max_tokens for stage in stages if isinstance(stage, SAMPLING_STAGES)), default=0)
    sequences = max(
        (stage.completions_per_step for stage in stages if isinstance(stage, SAMPLING_STAGES)), default=0
    )
    keys = policy.cache * longest * min(sequences / devices, 64)
    visiting = copied * (True in beside) / devices  # an offloaded reference policy, for its forward pass
    held += whole_copy(experiment, devices)
    return Memory(
        (held + max(activations, visiting)) / GIB,
        (held + (0 if experiment.policy.servers else _sampler(experiment, devices) + keys)) / GIB,
        away / GIB,
    )


def _activations(settings: Policy, policy: Architecture) -> float:
    """Bytes that a token keeps for the backward pass."""
    width = 2 if settings.dtype == "float32" else 1
    if not settings.gradient_checkpointing:
        return width * ACTIVATIONS * policy.hidden * policy.layers
    return width * policy.hidden * (BOUNDARY * policy.layers + ACTIVATIONS)


def whole_copy(experiment: Experiment, devices: int) -> float:
    """Bytes of the copy of the policy that the transformers engine keeps on each of several devices."""
    if devices == 1 or experiment.policy.servers or experiment.policy.engine.kind != "transformers":
        return 0.0
    if not are_sampled(experiment.stages, bool(experiment.data.dev)):
        return 0.0
    policy = architecture(experiment.policy)
    frozen = _frozen(experiment.policy, policy)
    return frozen + WHOLE * (policy.adapters if frozen else policy.parameters)


def _sampler(experiment: Experiment, devices: int) -> float:
    """Bytes of the weights that an engine on the same device samples, beside what is trained.

    The transformers engine samples what is trained; its products in bfloat16 make a copy in that dtype.
    """
    policy = experiment.policy
    if whole_copy(experiment, devices) or (policy.engine.kind, policy.dtype) == ("transformers", "float32"):
        return 0.0
    return FROZEN[policy.dtype] * architecture(policy).parameters / _width(policy)


def _width(policy: Policy) -> int:
    """Devices that hold one copy of the weights that are sampled."""
    return int(policy.engine.settings.get("tensor_parallel", 1))


def _frozen(settings: Policy, policy: Architecture) -> float:
    """Bytes of the weights under adapters; linear layers may be quantised."""
    if settings.lora is None:
        return 0.0
    codes = policy.linear if settings.quantization is not None else 0
    return codes * quantized.BITS / 8 + (policy.parameters - codes) * FROZEN[settings.dtype]


def server_devices(policy: Policy) -> int:
    """Devices of the servers that sample a policy in training, beside those that train it.

    Of servers that run already it is not known; each is taken to have what ``policy.engine`` says, or one.
    """
    if policy.servers is None:
        return 0
    copies = int(policy.engine.settings.get("data_parallel", 1))
    return (policy.servers.count or len(policy.servers.addresses)) * _width(policy) * copies


def seconds(part: Work, device: Device, devices: int) -> float:
    """How long ``devices`` devices take for one part, and for what servers sample those of the servers."""
    learning = _recomputed(part.policy) * part.learning_flops / (LEARNING * device.flops * devices)
    apart = server_devices(part.policy) if part.role != "measure" else 0
    sampling = sampling_seconds(part, architecture(part.policy), device, apart or devices)
    return max(learning, sampling) if part.ahead else learning + sampling


def _recomputed(policy: Policy) -> float:
    """An update's products over those counted in its FLOPs: checkpointing does a forward pass more."""
    once = update_cost(policy.lora)
    return (once + policy.gradient_checkpointing) / once


def sampling_seconds(part: Work, model: Architecture, device: Device, devices: int) -> float:
    """Token by token: memory is read, or products are done, whichever takes longer.

    The ``tensor_parallel`` devices of a copy share its weights, its keys and values, and the work; what they
    tell each other is not counted.
    """
    if not part.sampled:
        return 0.0
    weights = SAMPLER * model.parameters
    context = part.prompt + part.length / 2
    width = min(devices, _width(part.policy))
    copies = devices / width
    room = FREE * device.memory * GIB * width - weights
    if room <= 0:
        return math.inf
    at_once = max(1.0, min(part.batch / copies, room / (model.cache * (part.prompt + part.length))))
    reading = (weights + at_once * model.cache * context) / (device.bandwidth * width)
    products = 2 * model.shape.parameters * at_once / (device.flops * width)
    steps = part.sampled / copies / at_once
    return steps * max(max(reading, products) / SAMPLING, least_step(part.policy, model))


def least_step(policy: Policy, model: Architecture) -> float:
    """Seconds that a decoding step takes at least, however small the model."""
    return OPERATIONS * SENDING * model.layers if policy.engine.kind == "transformers" else SCHEDULING
