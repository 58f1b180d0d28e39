"""The plan of an experiment: every run that it means, part by part, with tokens, FLOPs, time and price."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from evals.base.notebook import shown
from evals.base.progress import Progress
from harness.config import Experiment, Policy, dump_toml
from harness.config.compare import arm_experiment, untrained
from harness.models.devices import Device
from harness.plan.hardware import GIB, Memory, memory, seconds, server_devices, whole_copy
from harness.plan.profile import Tried, shortened, try_out
from harness.plan.work import CHARACTERS, Work
from harness.plan.workload import assumed, work
from harness.sweep.executors.local import shared_cores
from harness.sweep.selection import confirmation_experiment, control_experiment
from harness.sweep.space_table import parse_space
from harness.train.checks import check_experiment
from harness.train.ledger import devices as local_devices

if TYPE_CHECKING:
    from pandas import DataFrame


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
    price: float | None = None
    """What a server takes for the answers of one run."""
    at_once: int = 1
    """Runs of this kind that are at work side by side."""
    devices: int = 1
    """What one run holds, those of its servers too."""


@dataclass(frozen=True)
class Plan:
    """What an experiment takes. ``memory_gib`` is one device's at most; ``basis`` says how it was estimated.

    ``device_hours`` are those of all runs, nothing pruned; ``cost`` is None without a price. ``server_cost``
    is what servers take for answers, None where none is asked whose price is known.
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
    server_cost: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds by the clock, nothing pruned: runs side by side, kinds one after another."""
        return sum(math.ceil(part.runs / part.at_once) * part.seconds for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """What ``harness plan --json`` prints."""
        return asdict(self) | {"elapsed": self.elapsed}

    @property
    def table(self) -> DataFrame:
        """A row a part: run, runs, part, steps, tokens, flops, seconds, note; figures of one run."""
        import pandas as pd

        return pd.DataFrame([asdict(part) for part in self.parts])

    def _repr_html_(self) -> str:
        told = [f"{self.tokens:,.0f} tokens, {self.flops:.1e} FLOPs, {self.device_hours:,.2f} device-hours"]
        told += [f"{self.memory_gib:,.1f} GiB per device"]
        told += [] if self.cost is None else [f"price {self.cost:,.2f}"]
        told += [] if self.server_cost is None else [f"servers' price {self.server_cost:,.2f}"]
        return shown(f"{self.name}: the plan", self.table, ", ".join(told), self.basis, *self.warnings)


@dataclass(frozen=True)
class _Kind:
    """Runs that are alike; ``workers`` of them are launched side by side, or one is done in this process."""

    name: str
    runs: int
    experiment: Experiment
    trains: bool = True
    workers: int | None = None

    @property
    def at_once(self) -> int:
        return max(1, min(self.workers or 1, self.runs))


def plan_on(
    experiment: Experiment, device: Device, count: int, response: float | None, price: float | None
) -> Plan:
    """The plan by a device's data sheet; nothing is loaded.

    Raises:
        UsageError, TaskError: the experiment cannot run as written, or a model's shape is not known.
    """
    if only_asks(experiment):
        return _plan_asked(experiment, response)
    needed: list[Memory] = []
    found: list[Part] = []
    servers = 0
    for kind in _kinds(experiment):
        kind = replace(kind, workers=None)  # each run is reckoned with all of the devices
        todo = work(kind.experiment, assumed(response))
        held = count + (server_devices(kind.experiment.policy) if kind.trains else 0)
        found += _parts(kind, todo, lambda part: seconds(part, device, count), 0.0, held)
        if kind.trains:
            needed.append(memory(kind.experiment, count))
            servers = max(servers, held - count)
    most = max((max(each.learning, each.sampling) for each in needed), default=0.0)
    warnings = []
    if most > device.memory:
        warnings.append(
            f"needs {most:,.0f} GiB per device, but a {device.name} has {device.memory:.0f}: "
            f"use {', '.join(_ways(experiment.policy, count))} or more devices"
        )
    copied = max(
        (whole_copy(kind.experiment, count) for kind in _kinds(experiment) if kind.trains), default=0
    )
    if copied:
        warnings.append(
            f"the transformers engine keeps a whole copy of the weights on each of the {count} devices "
            f'({copied / GIB:,.1f} GiB); policy.engine = "vllm" or policy.servers avoids that'
        )
    length = "half of what is allowed" if response is None else f"{response:,.0f} tokens"
    basis = f"{count} x {device.name} from its data sheet; responses of {length}"
    basis += f"; {servers} more for the servers of a run" if servers else ""
    host = max((each.host for each in needed), default=0.0)
    basis += f"; {host:,.1f} GiB in the host's memory" if host else ""
    return _plan(experiment, found, most, price, basis, warnings)


def plan_here(experiment: Experiment, progress: Progress, price: float | None) -> Plan:
    """The plan by trying a few steps of every kind of run on this machine.

    Raises:
        UsageError, TaskError, JobError: as a run of the experiment.
    """
    if only_asks(experiment):
        return _plan_asked(experiment, None)
    found: list[Part] = []
    before: dict[str, Tried] = {}
    tried: Tried | None = None
    for kind in _kinds(experiment):
        if kind.trains:
            threads = None if kind.workers is None else shared_cores(kind.at_once)
            alike = f"{dump_toml(shortened(kind.experiment, seed=0))}{threads}"
            if alike not in before:
                before[alike] = try_out(kind.experiment, progress, kind.name, threads)
            tried = before[alike]
        assert tried is not None  # the first kind of run trains
        start = tried.start if kind.trains else 0.0
        todo = work(kind.experiment, tried.lengths())
        found += _parts(kind, todo, tried.seconds, start, local_devices())
    basis = "a few steps of every stage on this machine, with the response lengths seen there"
    if any(part.at_once > 1 for part in found):
        basis += "; runs side by side share its cores, as in what was tried"
    most = max(each.memory for each in before.values())
    return _plan(experiment, found, most, price, basis, [])


def only_asks(experiment: Experiment) -> bool:
    """Whether nothing is trained and the policy is at a server: its answers are all that it takes."""
    trains = experiment.stages or experiment.compare or experiment.sweep
    return experiment.policy.server is not None and not trains


def _ways(policy: Policy, devices: int) -> list[str]:
    """What takes less memory than the policy does now."""
    ways = ["a smaller micro_batch_tokens"]
    if not policy.gradient_checkpointing:
        ways.append("policy.gradient_checkpointing")
    if policy.lora is None:
        ways.append("LoRA")
    if policy.dtype == "float32":
        ways.append('policy.dtype = "bfloat16"')
    if policy.lora is not None and policy.quantization is None and devices == 1:
        ways.append('policy.quantization = "nf4"')
    return ways


def _plan_asked(experiment: Experiment, response: float | None) -> Plan:
    kind = _Kind("evaluation", 1, experiment, trains=False)
    found = list(_parts(kind, work(experiment, assumed(response)), lambda _: 0.0, 0.0, 0))
    length = "half of what is allowed" if response is None else f"{response:,.0f} tokens"
    basis = f"responses of {length}, prompts at {CHARACTERS} characters per token"
    return _plan(experiment, found, 0.0, None, basis, [])


def _kinds(experiment: Experiment) -> Iterator[_Kind]:
    """The runs that the experiment means; those that are only measured come last."""
    compare, sweep = experiment.compare, experiment.sweep
    measured = experiment.model_copy(update={"stages": [], "compare": None, "sweep": None, "budget": None})
    if compare is not None:
        for name, table in compare.arms.items():
            arm = arm_experiment(experiment, name, experiment.seed)
            check_experiment(arm, runs_here=False)
            yield _Kind(name, compare.seeds, arm, workers=compare.workers)
            if compare.tuning_trials and not table.control_of:  # a control has what its arm was tuned to
                tuning = parse_space(table.space, f"compare.arms.{name}.space").apply(arm, {})
                yield _Kind(f"{name}: tuning", compare.tuning_trials, tuning, workers=compare.workers)
        for name, policy in untrained(experiment).items():
            yield _Kind(name, 1, measured.model_copy(update={"policy": policy}), trains=False)
        return
    check_experiment(experiment, runs_here=False)
    if sweep is None:
        yield _Kind("run", 1, experiment)
        return
    trial = parse_space(sweep.space).apply(experiment, {})
    workers = sweep.workers if sweep.executor.kind == "local" else None  # others share no machine
    yield _Kind("trial", sweep.trials, trial, workers=workers)
    if sweep.confirm_seeds:
        fresh = confirmation_experiment(experiment, trial, 1)
        winners = fresh.model_copy(update={"eval": experiment.eval})  # the candidate's alone are measured
        yield _Kind("fresh seed", sweep.confirm_seeds, winners, workers=workers)
        if sweep.confirm_top > 1:
            more = sweep.confirm_seeds * (sweep.confirm_top - 1)
            yield _Kind("fresh seed, not chosen", more, fresh, workers=workers)
        for reward in experiment.controls.rewards if experiment.controls is not None else ():
            control = control_experiment(winners, reward)
            yield _Kind(f"control: {reward}", sweep.confirm_seeds, control, workers=workers)
    yield _Kind("base", 1, measured, trains=False)


def _parts(
    kind: _Kind, found: list[Work], timed: Callable[[Work], float], start: float, devices: int
) -> Iterator[Part]:
    for part in found:
        tokens = part.sampled or part.learned
        at_server = part.policy.server is not None
        note = ", ".join(
            each
            for each in (part.note, "on a server: takes no time on these devices" if at_server else "")
            if each
        )
        took = 0.0 if at_server else timed(part)
        yield Part(
            kind.name, kind.runs, part.name, part.steps, tokens, part.flops, took, note, part.price,
            kind.at_once, devices,
        )  # fmt: skip
    if start:
        yield Part(
            kind.name, kind.runs, "loading and saving", 1, 0.0, 0.0, start, "", None, kind.at_once, devices
        )


def _plan(
    experiment: Experiment,
    parts: list[Part],
    most: float,
    price: float | None,
    basis: str,
    warnings: list[str],
) -> Plan:
    hours = sum(part.runs * part.seconds * part.devices for part in parts) / 3600
    priced = [part.runs * part.price for part in parts if part.price is not None]
    if experiment.sweep is not None and experiment.sweep.pruner != "none":
        basis += "; pruning not taken into account"
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
        None if not priced else sum(priced),
    )
