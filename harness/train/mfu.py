"""How near a training step comes to what its device can do: model FLOPs utilisation (PaLM, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping

from harness.models import devices
from harness.models.policy import Policy


def utilisation(metrics: Mapping[str, float], policy: Policy, count: int) -> dict[str, float]:
    """``mfu`` of a step and of each of its phases: model FLOPs over seconds times the peak of them all.

    ``count``: how many devices took the step.

    Rewards and dev evaluations do not count; a phase that took no FLOPs is left out. Nothing is said of
    a device whose peak is not known, or is known to be wrong because a phase exceeded it.
    """
    phases = [p for p in ("rollout", "update") if metrics.get(f"flops/{p}") and metrics[f"seconds/{p}"] > 0]
    if not phases:
        return {}
    rates = {
        f"mfu/{phase}": metrics[f"flops/{phase}"] / (metrics[f"seconds/{phase}"] * count) for phase in phases
    }
    seconds = sum(metrics[f"seconds/{phase}"] for phase in phases)
    rates["mfu"] = sum(metrics[f"flops/{phase}"] for phase in phases) / (seconds * count)
    peak = devices.peak_flops(policy.device, policy.dtype, reached=max(rates.values()))
    return {} if peak is None else {name: rate / peak for name, rate in rates.items()}
