"""The plan of an experiment: every run that it means, part by part, with tokens, FLOPs, time and price."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from harness.arms import arm_experiment, untrained
from harness.config import Experiment
from harness.ledger import devices as local_devices
from harness.plan.machines import Device, Memory, memory, seconds
from harness.plan.trying import Tried, try_out
from harness.plan.work import Work, assumed, work
from harness.progress import Progress
from harness.recipe import check_experiment


@dataclass(frozen=True)
class Part:
    """One part of one kind of run; tokens, FLOPs and seconds are those of one run."""

    run: str
    runs: int
    part: str
    steps: int
    tokens: float
    flops: float
    seconds: float
    note: str


@dataclass(frozen=True)
class Plan:
    """What an experiment takes. ``memory_gib`` is one device's at most; ``basis`` says how it was estimated.

    ``device_hours`` are those of all runs, nothing pruned; ``cost`` is None without a price.
    """

    name: str
    parts: tuple[Part, ...]
    tokens: float
    flops: float
    device_hours: float
    memory_gib: float
    cost: float | None
    basis: str
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What ``harness plan --json`` prints."""
        return asdict(self)


@dataclass(frozen=True)
class _Kind:
    """Runs that are alike."""

    name: str
    runs: int
    experiment: Experiment
    trains: bool = True


def plan_on(
    experiment: Experiment, device: Device, count: int, response: float | None, price: float | None
) -> Plan:
    """The plan by a device's data sheet; nothing is loaded.

    Raises:
        UsageError, TaskError: the experiment cannot run as written, or a model's shape is not known.
    """
    needed: list[Memory] = []
    found: list[Part] = []
    for kind in _kinds(experiment):
        todo = work(kind.experiment, assumed(response))
        found += _parts(kind, todo, lambda part: seconds(part, device, count), 0.0)
        if kind.trains:
            needed.append(memory(kind.experiment, count))
    most = max((max(each.learning, each.sampling) for each in needed), default=0.0)
    warnings = []
    if most > device.memory:
        warnings.append(
            f"needs {most:,.0f} GiB on each device, and a {device.name} has {device.memory:.0f}: "
            "use more devices, a smaller micro_batch_tokens, or LoRA"
        )
    length = "half of what is allowed" if response is None else f"{response:,.0f} tokens"
    basis = f"{count} x {device.name} by its data sheet; responses of {length}"
    return _plan(experiment, found, most, count, price, basis, warnings)


def plan_here(experiment: Experiment, progress: Progress, price: float | None) -> Plan:
    """The plan by trying a few steps of every kind of run on this machine.

    Raises:
        UsageError, TaskError, JobError: as a run of the experiment.
    """
    found: list[Part] = []
    most = 0.0
    tried: Tried | None = None
    for kind in _kinds(experiment):
        if kind.trains:
            tried = try_out(kind.experiment, progress)
            most = max(most, tried.memory)
        assert tried is not None  # the first kind of run trains
        start = tried.start if kind.trains else 0.0
        found += _parts(kind, work(kind.experiment, tried.lengths()), tried.seconds, start)
    basis = "a few steps of every stage on this machine; responses as long as in those"
    return _plan(experiment, found, most, local_devices(), price, basis, [])


def _kinds(experiment: Experiment) -> Iterator[_Kind]:
    """The runs that the experiment means; those that are only measured come last."""
    compare, sweep = experiment.compare, experiment.sweep
    measured = experiment.model_copy(update={"stages": [], "compare": None, "sweep": None, "budget": None})
    bare = experiment.eval.model_copy(update={"benchmarks": []})
    if compare is not None:
        for name in compare.arms:
            arm = arm_experiment(experiment, name, experiment.seed)
            check_experiment(arm, runs_here=False)
            yield _Kind(name, compare.seeds, arm)
            if compare.tuning_trials:
                yield _Kind(f"{name}: tuning", compare.tuning_trials, arm.model_copy(update={"eval": bare}))
        for name, policy in untrained(experiment).items():
            yield _Kind(name, 1, measured.model_copy(update={"policy": policy}), trains=False)
        return
    check_experiment(experiment, runs_here=False)
    if sweep is None:
        yield _Kind("run", 1, experiment)
        return
    yield _Kind("trial", sweep.trials, experiment.model_copy(update={"eval": bare}))
    if sweep.confirm_seeds:
        yield _Kind("fresh seed", sweep.confirm_seeds * sweep.confirm_top, experiment)
    yield _Kind("base", 1, measured, trains=False)


def _parts(kind: _Kind, found: list[Work], timed: Callable[[Work], float], start: float) -> Iterator[Part]:
    for part in found:
        tokens = part.sampled or part.learned
        yield Part(kind.name, kind.runs, part.name, part.steps, tokens, part.flops, timed(part), part.note)
    if start:
        yield Part(kind.name, kind.runs, "loading and saving", 1, 0.0, 0.0, start, "")


def _plan(
    experiment: Experiment,
    parts: list[Part],
    most: float,
    devices: int,
    price: float | None,
    basis: str,
    warnings: list[str],
) -> Plan:
    hours = sum(part.runs * part.seconds for part in parts) * devices / 3600
    if experiment.sweep is not None and experiment.sweep.pruner != "none":
        basis += "; without what pruning saves"
    if experiment.sweep is not None and experiment.sweep.device_hours is not None:
        warnings.append(f"the search ends after {experiment.sweep.device_hours:g} device-hours")
    return Plan(
        experiment.name,
        tuple(parts),
        sum(part.runs * part.tokens for part in parts),
        sum(part.runs * part.flops for part in parts),
        hours,
        most,
        None if price is None else price * hours,
        basis,
        tuple(warnings),
    )
