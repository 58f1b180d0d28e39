"""The executors that come with the harness, as the sweep's settings describe them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from evals.base.errors import UsageError
from evals.base.registry import takes
from harness.config import Sweep
from harness.config.table import Table
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
    _check_gpus(sweep)
    try:
        from harness.sweep.executors import ray_cluster
    except ImportError:
        raise UsageError('sweep.executor = "ray" needs Ray: pip install "grpo-harness[ray]"') from None
    on_ray = ray_cluster.RayExecutor(sweep.cpus_per_trial, sweep.gpus_per_trial, sweep.run_address)
    ray_cluster.connect(None)
    return on_ray


class SlurmSettings(Table):
    """What sbatch is told about each trial, besides ``cpus_per_trial`` and ``gpus_per_trial``."""

    partition: str | None = None
    """The partition; by default the cluster's own."""
    time: int = Field(24 * 60, ge=1)
    """The time limit in minutes; a run that needs longer resumes from its checkpoint in another job."""
    mem: str | None = None
    """Memory, as sbatch takes it: "64G"; by default the cluster's own."""
    account: str | None = None
    """The account that is charged."""
    qos: str | None = None
    """The quality of service."""
    constraint: str | None = None
    """Features that the node must have: "h100", "h100&ib"."""
    setup: list[str] = Field(default_factory=list)
    """Shell lines before the run starts: "module load cuda"."""
    options: dict[str, str | int | bool] = Field(default_factory=dict)
    """Any other options of sbatch by their long names: { exclude = "node7", exclusive = true }."""

    def parameters(self, cpus: int, gpus: int) -> dict[str, Any]:
        """The same by submitit's names."""
        named = {name: getattr(self, name) for name in ("partition", "mem", "account", "qos", "constraint")}
        return {
            **{name: value for name, value in named.items() if value is not None},
            **({"gpus_per_node": gpus} if gpus else {}),
            "time": self.time,
            "nodes": 1,
            "ntasks_per_node": 1,
            "cpus_per_task": cpus,
            "setup": self.setup,
            "additional_parameters": {"no-requeue": True, **self.options},
        }


@takes(SlurmSettings)
def slurm(sweep: Sweep, settings: SlurmSettings) -> Executor:
    """A Slurm cluster, a job for each trial.

    Raises:
        UsageError: submitit is not installed, there is no Slurm, or a trial asks for part of a GPU or core.
    """
    _check_gpus(sweep)
    for key in ("cpus_per_trial", "gpus_per_trial"):
        if getattr(sweep, key) % 1:
            raise UsageError(f"sweep.{key}: Slurm reserves whole ones, got {getattr(sweep, key):g}")
    try:
        import submitit

        from harness.sweep.executors.slurm import SlurmExecutor
    except ImportError:
        raise UsageError(
            'sweep.executor = "slurm" needs submitit: pip install "grpo-harness[slurm]"'
        ) from None
    if submitit.SlurmExecutor.affinity() < 0:
        raise UsageError(
            'sweep.executor = "slurm": there is no srun on this machine; start the sweep on a login node'
        )
    gpus = int(sweep.gpus_per_trial)
    return SlurmExecutor(settings.parameters(int(sweep.cpus_per_trial), gpus), gpus)


def _check_gpus(sweep: Sweep) -> None:
    processes = sweep.processes_per_trial
    if sweep.gpus_per_trial and processes > max(sweep.gpus_per_trial, 1.0):
        raise UsageError(
            f"sweep.processes_per_trial: {processes} processes need a GPU each, and sweep.gpus_per_trial is "
            f"{sweep.gpus_per_trial:g}"
        )
