"""``plan``: what an experiment would take."""

from __future__ import annotations

from pathlib import Path

from evals.base.errors import UsageError
from evals.base.progress import Progress
from harness import config
from harness.api.experiment import experiment_of
from harness.models.devices import DEVICES
from harness.plan.plan import Plan, plan_here, plan_on


def plan(
    experiment: config.Experiment | str | Path,
    device: str | None = None,
    *,
    devices: int = 1,
    response: float | None = None,
    price: float | None = None,
    quiet: bool = False,
) -> Plan:
    """Estimates tokens, FLOPs, memory, time and price before anything runs, as ``harness plan`` does.

    Args:
        experiment: What would be run; or an experiment file.
        device: "h200", "h100", "a100", "l40s" or "rtx4090": by its data sheet, and nothing is loaded; None
            tries a few steps of every stage on this machine.
        devices: How many of them work on a run.
        response: Tokens of a response; by default half of what is allowed. With ``device`` alone.
        price: Of a device-hour, in any currency.
        quiet: No progress.

    Raises:
        UsageError: the experiment cannot run as written, an unknown device, or a model of unknown shape.
        JobError: what was tried out failed.
    """
    wanted = experiment_of(experiment)
    if device is None:
        return plan_here(wanted, Progress(quiet), price)
    if device not in DEVICES:
        raise UsageError(f"plan: unknown device {device!r}; accepted: {', '.join(DEVICES)}")
    return plan_on(wanted, DEVICES[device], devices, response, price)
