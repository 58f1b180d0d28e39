"""A cluster in virtual time: nodes that fail, nodes that are slow, runs that only say what runs say.

It rehearses a sweep at a size that is not at hand. The dispatcher is the real one; a run here is a row of
events that write what a run writes into its folder (metrics, checkpoints, status), and whoever sleeps on
``clock`` is carried from one of them to the next. Every device-second is accounted for.
"""

from __future__ import annotations

import heapq
import json
import math
import random
import tomllib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.sweep.attempts import newest_checkpoint
from harness.sweep.executors.registry import Exit, Launch
from harness.sweep.scheduler import Clock

Curve = Callable[[dict[str, Any], int], tuple[float, float]]
"""The resolved experiment, as read from its file, and a step -> the dev evaluation and its standard error."""
HOUR = 3600.0


@dataclass(frozen=True)
class Hardware:
    """The cluster; times are in seconds."""

    nodes: int = 64
    devices_per_node: int = 8
    node_lost_every: float = 6 * HOUR
    """Mean time between losses of some node of the cluster; they are a Poisson process."""
    repair: float = 0.5 * HOUR
    """How long a lost node is away (and not paid for)."""
    slow_share: float = 0.05
    """The share of nodes whose steps take ``slowness`` times as long."""
    slowness: float = 1.5
    start_up: float = 120.0
    """From a launch to its first step."""
    step: float = 300.0
    checkpoint_every: int = 10
    """Steps."""

    @property
    def devices(self) -> int:
        return self.nodes * self.devices_per_node

    def attainable(self, seconds: float) -> float:
        """The goodput that no dispatcher can surpass, for trials of ``seconds`` of steps.

        A trial pays one start-up. A device is lost with its node, at the rate devices_per_node /
        (node_lost_every * devices) per second; each loss costs half a checkpoint's interval and a start-up.
        """
        rate = self.devices_per_node / (self.node_lost_every * self.devices)
        lost = self.checkpoint_every * self.step / 2 + self.start_up
        return 1 / (1 + self.start_up / seconds + rate * lost)


@dataclass
class VirtualRun:
    """A launch: waiting for a device, at work on one, or ended."""

    launch: Launch
    device: int | None = None
    began: float = 0.0
    step: int = 0
    unsaved: float = 0.0
    """Seconds of steps that no checkpoint has yet."""
    exit: Exit | None = None
    experiment: dict[str, Any] = field(default_factory=dict)


class VirtualCluster:
    """An executor whose time is ``clock``. A launch that finds no device free waits for one, as on Ray."""

    devices_per_launch = 1.0

    def __init__(self, hardware: Hardware, curve: Curve, trials: int, seed: int = 0) -> None:
        """``trials``: of the sweep, after the last of which idle devices are nobody's fault."""
        self.hardware, self.curve, self.trials = hardware, curve, trials
        self.now = 0.0
        self.paid = 0.0
        """Device-seconds of launches, from the device's being taken to its release."""
        self.useful = 0.0
        """Those of them that went into steps which did not have to be computed again."""
        self.idle = 0.0
        """Device-seconds of free devices while the sweep had trials left to begin."""
        self.nodes_lost = 0
        self._chance = random.Random(seed)
        slow = round(hardware.slow_share * hardware.nodes)
        self._slow = set(self._chance.sample(range(hardware.nodes), slow))
        self._free = list(range(hardware.devices))
        self._at_work: dict[int, VirtualRun] = {}
        self._waiting: deque[VirtualRun] = deque()
        self._known: dict[str, VirtualRun] = {}
        self._jobs: set[Path] = set()
        self._order = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._after(self._chance.expovariate(1 / hardware.node_lost_every), self._lose_node)

    @property
    def clock(self) -> Clock:
        return Clock(wall=lambda: self.now, monotonic=lambda: self.now, sleep=self._sleep)

    # What an executor does

    def launch(self, launch: Launch) -> VirtualRun:
        run = VirtualRun(launch)
        self._known[launch.token] = run
        self._jobs.add(launch.folder.parent)
        self._waiting.append(run)
        self._place()
        return run

    def adopt(self, launch: Launch) -> VirtualRun | None:
        run = self._known.get(launch.token)
        return run if run is not None and run.exit is None else None

    def poll(self, handle: VirtualRun) -> Exit | None:
        return handle.exit

    def waits(self, handle: VirtualRun) -> bool:
        return handle.device is None

    def stop(self, handle: VirtualRun, *, force: bool) -> None:
        if handle.exit is None:
            self._end(handle, Exit(-9 if force else -15))

    # Time

    def _sleep(self, seconds: float) -> None:
        """Goes to the end of the first sleep of so many seconds during which something happens."""
        ahead = self._events[0][0] - self.now if self._events else 0.0
        until = self.now + seconds * max(1, math.ceil(ahead / seconds))
        while self._events and self._events[0][0] <= until:
            time, _, action = heapq.heappop(self._events)
            self._pass_to(time)
            action()
        self._pass_to(until)

    def _pass_to(self, time: float) -> None:
        if len(self._jobs) < self.trials:
            self.idle += len(self._free) * (time - self.now)
        self.now = time

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (self.now + seconds, self._order, action))

    # Nodes

    def _lose_node(self) -> None:
        self.nodes_lost += 1
        node = self._chance.randrange(self.hardware.nodes)
        own = range(node * self.hardware.devices_per_node, (node + 1) * self.hardware.devices_per_node)
        self._free = [device for device in self._free if device not in own]
        for device in own:
            if device in self._at_work:
                self._end(self._at_work[device], Exit(None), release=False)
        self._after(self.hardware.repair, lambda: self._mend(list(own)))
        self._after(self._chance.expovariate(1 / self.hardware.node_lost_every), self._lose_node)

    def _mend(self, devices: list[int]) -> None:
        self._free += [d for d in devices if d not in self._free and d not in self._at_work]
        self._place()

    # Runs

    def _place(self) -> None:
        while self._free and self._waiting:
            run = self._waiting.popleft()
            if run.exit is not None:
                continue
            run.device, run.began = self._free.pop(), self.now
            self._at_work[run.device] = run
            self._after(self.hardware.start_up, lambda run=run: self._begin(run))  # type: ignore[misc]

    def _begin(self, run: VirtualRun) -> None:
        """Goes on from the newest checkpoint: metrics behind it are cut off, as a trainer does."""
        if run.exit is not None:
            return
        folder = run.launch.folder
        run.experiment = tomllib.loads((folder.parent / "experiment.toml").read_text(encoding="utf-8"))
        run.step = max(newest_checkpoint(folder), 0)
        metrics = folder / "metrics.jsonl"
        lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= run.step]
        metrics.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._next(run)

    def _next(self, run: VirtualRun) -> None:
        assert run.device is not None
        slow = run.device // self.hardware.devices_per_node in self._slow
        seconds = self.hardware.step * (self.hardware.slowness if slow else 1.0)
        self._after(seconds, lambda: self._step(run, seconds))

    def _step(self, run: VirtualRun, seconds: float) -> None:
        """One step of so many seconds has been computed."""
        if run.exit is not None:
            return
        folder, stage = run.launch.folder, run.experiment["stages"][0]
        run.step += 1
        run.unsaved += seconds
        row = {"step": run.step, "stage": "grpo", "time": self.now}
        if run.step % stage["eval_every"] == 0:
            value, stderr = self.curve(run.experiment, run.step)
            row |= {"dev/pass@1": value, "dev/stderr": stderr}
        with (folder / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
            metrics.write(json.dumps(row) + "\n")
        if run.step % self.hardware.checkpoint_every == 0 or run.step == stage["steps"]:
            (folder / f"checkpoints/step-{run.step}").mkdir(parents=True, exist_ok=True)
            self.useful, run.unsaved = self.useful + run.unsaved, 0.0
        if (folder / "stop").exists():
            self._say(run, "pruned", (folder / "stop").read_text(encoding="utf-8"))
        elif run.step == stage["steps"]:
            self._say(run, "done", "")
        else:
            self._next(run)

    def _say(self, run: VirtualRun, state: str, reason: str) -> None:
        status = {"state": state, "reason": reason, "time": self.now}
        (run.launch.folder / "status.json").write_text(json.dumps(status), encoding="utf-8")
        self.useful, run.unsaved = self.useful + run.unsaved, 0.0  # a pruned run's last steps were asked for
        self._end(run, Exit(0))

    def _end(self, run: VirtualRun, exit_: Exit, release: bool = True) -> None:
        run.exit = exit_
        if run.device is not None:
            self.paid += self.now - run.began
            del self._at_work[run.device]
            if release:
                self._free.append(run.device)
                self._place()
