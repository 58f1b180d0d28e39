"""The executors that come with the harness, as the sweep's settings describe them."""

from __future__ import annotations

from evals.base.errors import UsageError
from harness.config import Sweep
from harness.sweep.executors.local import LocalExecutor
from harness.sweep.executors.registry import Executor


def local(sweep: Sweep) -> Executor:
    """Processes of this machine, a slot for each worker.

    Raises:
        UsageError: a trial's processes need more GPUs than fall to it.
    """
    processes = sweep.processes_per_trial
    executor = LocalExecutor(sweep.workers, processes=processes)
    devices = len(executor.devices) // sweep.workers
    if executor.devices and processes > max(devices, 1):
        raise UsageError(
            f"sweep.processes_per_trial: {processes} processes need a GPU each, and {devices} of this "
            f"machine's {len(executor.devices)} fall to each of {sweep.workers} trials at a time"
        )
    return executor


def ray(sweep: Sweep) -> Executor:
    """A Ray cluster.

    Raises:
        UsageError: Ray is not installed, or a trial's processes need more GPUs than it reserves.
    """
    processes = sweep.processes_per_trial
    if sweep.gpus_per_trial and processes > max(sweep.gpus_per_trial, 1.0):
        raise UsageError(
            f"sweep.processes_per_trial: {processes} processes need a GPU each, and sweep.gpus_per_trial is "
            f"{sweep.gpus_per_trial:g}"
        )
    try:
        from harness.sweep.executors import ray_cluster
    except ImportError:
        raise UsageError('sweep.executor = "ray" needs Ray: pip install "grpo-harness[ray]"') from None
    on_ray = ray_cluster.RayExecutor(sweep.cpus_per_trial, sweep.gpus_per_trial, sweep.run_address)
    ray_cluster.connect(None)
    return on_ray
