"""What a cell of a paper's table takes to measure, and whether this machine has it.

An estimate, from the plan alone: weights in bfloat16 take two bytes a parameter; a response is at most as
long as the protocol allows; a token costs two floating-point operations a parameter (Kaplan et al. 2020,
arXiv:2001.08361, without attention). The time is a lower bound for responses of that length: it takes the
rate that a matrix product reaches here, which sampling token by token does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import psutil
import torch

from harness.models.devices import measured_flops

HOURS = 24.0
"""An evaluation that would take longer is not started unless more time is granted."""


@dataclass(frozen=True)
class Needs:
    """What one model on one task takes: ``gib`` of weights, at most so many tokens and operations."""

    gib: float
    tokens: int
    flops: float


@dataclass(frozen=True)
class Machine:
    """``gib`` of memory that weights can lie in, and the FLOP/s of a large matrix product."""

    gib: float
    flops: float
    device: str


def needs(billions: float, questions: int, samples: int, max_tokens: int) -> Needs:
    """The estimate for ``questions`` × ``samples`` responses of a model of so many 10⁹ parameters."""
    tokens = questions * samples * max_tokens
    return Needs(2e9 * billions / 2**30, tokens, 2e9 * billions * tokens)


def refusal(wanted: Needs, machine: Machine, hours: float = HOURS) -> str:
    """Why this machine should not start it, in a clause; "" where it can."""
    if wanted.gib > machine.gib:
        text = f"its weights take {wanted.gib:,.0f} GiB in bfloat16, this machine has {machine.gib:,.0f} GiB"
        much = f" (up to {told(wanted.tokens)} tokens, {wanted.flops:.1e} FLOPs)"
        return text + much if wanted.tokens else text
    took = wanted.flops / machine.flops / 3600
    if took > hours:
        return (
            f"would take this {machine.device} {duration(took)} (up to {told(wanted.tokens)} tokens, "
            f"{wanted.flops:.1e} FLOPs, at the {machine.flops / 1e9:,.0f} GFLOP/s of a matrix product); "
            f"--hours {hours:g} is the limit"
        )
    return ""


@cache
def this_machine() -> Machine:
    """The accelerators where there are some, else the processor; the rate is measured."""
    count = torch.cuda.device_count()
    if count:
        memory = sum(torch.cuda.get_device_properties(i).total_memory for i in range(count))
        rate = count * measured_flops(torch.device("cuda"), torch.bfloat16)
        return Machine(memory / 2**30, rate, torch.cuda.get_device_name(0))
    rate = measured_flops(torch.device("cpu"), torch.float32)
    return Machine(psutil.virtual_memory().total / 2**30, rate, "processor")


def told(count: int) -> str:
    """12,000 as "12 thousand", 63,000,000 as "63 million"."""
    for size, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return str(count)


def duration(hours: float) -> str:
    """ "3.5 hours", "41 days", "7 years"."""
    if hours < 48:
        return f"{hours:.1f} hours"
    return f"{hours / 24:,.0f} days" if hours < 24 * 730 else f"{hours / 24 / 365:,.0f} years"
