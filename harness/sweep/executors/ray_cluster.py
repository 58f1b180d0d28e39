"""Attempts on a Ray cluster: each process belongs to an actor that lives on the node where Ray put it.

The actor is named by the launch's token and detached from its dispatcher, so that the next one finds it. Its
process dies with it (a parent-death signal), and it dies with its node: what a poll sees then is a launch
that ended without an exit code, which the crew resumes from its checkpoint on another node. Processes inherit
the environment that Ray was started with on their node, not the dispatcher's.

All nodes have the project installed, and see the sweep's folder under the same path; or an address carries
each attempt's folder (carrier.py): there as it was launched, and back every few seconds as it grows.
"""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError

from evals.base.errors import JobError, first_line
from evals.base.secrets import mask
from harness.sweep.executors.local import WITH_PARENT, LocalExecutor
from harness.sweep.executors.registry import Exit, Launch
from harness.sweep.executors.sync import Carrier

log = logging.getLogger(__name__)
NAMESPACE = "grpo-harness"
CARRY_SECONDS = 3.0
"""Between two looks at what is to be carried."""
EXPERIMENT, START, RUN, STOP, FENCE = "experiment.toml", "start", "run", "stop", "fence"
"""The job's file beside the attempt; what lies at an address: two folders and two words."""


@contextlib.contextmanager
def away() -> Iterator[None]:
    """What an address does not do now is tried again at the next look; its clients know many errors."""
    try:
        yield
    except Exception as error:
        log.warning("the address of the runs does not answer: %s", mask(first_line(error)))


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Where the address must do it now."""
    try:
        yield
    except JobError:
        raise
    except Exception as error:
        raise JobError(f"sweep.run_address does not answer: {mask(first_line(error))}") from None


class _Runner:
    """The actor: one process on its node, in the attempt's folder or in one of its own that is carried."""

    def __init__(self, launch: Launch, address: str) -> None:
        self.executor = LocalExecutor(1, devices=[str(gpu) for gpu in ray.get_gpu_ids()])
        self.carrier = Carrier(address) if address else None
        self.ended = threading.Event()
        if self.carrier is not None:
            launch = self._here(launch, self.carrier)
        self.folder = launch.folder
        self.process = self.executor.launch(replace(launch, command=(*WITH_PARENT, *launch.command)))
        self.thread = threading.Thread(target=self._carry, daemon=True)
        self.thread.start()

    def _here(self, launch: Launch, carrier: Carrier) -> Launch:
        """The launch in a folder of this node."""
        job = Path(tempfile.mkdtemp(prefix="harness-"))
        folder = job / launch.folder.name
        folder.mkdir()
        carrier.pull(folder, START)
        if (folder / EXPERIMENT).exists():
            (folder / EXPERIMENT).replace(job / EXPERIMENT)
        if carrier.noted(FENCE) is not None or carrier.noted(START) is None:
            raise RuntimeError("this launch was given up before it began")
        moved = {
            str(launch.folder): str(folder),
            str(launch.folder.parent / EXPERIMENT): str(job / EXPERIMENT),
        }
        return replace(launch, folder=folder, command=tuple(moved.get(word, word) for word in launch.command))

    def _carry(self) -> None:
        while self.carrier is not None and not self.ended.wait(CARRY_SECONDS):
            with away():
                self.carrier.push(self.folder, RUN)
                reason = self.carrier.noted(STOP)
                if reason is not None and not (self.folder / STOP).exists():
                    (self.folder / STOP).write_text(reason, encoding="utf-8")

    def poll(self) -> Exit | None:
        exit_ = self.executor.poll(self.process)
        if exit_ is None or self.carrier is None:
            return exit_
        self.ended.set()
        self.thread.join()
        with away():
            self.carrier.push(self.folder, RUN)
            self.carrier = None
            shutil.rmtree(self.folder.parent, ignore_errors=True)
        return exit_ if self.carrier is None else None  # not before all is there

    def stop(self, force: bool) -> None:
        self.executor.stop(self.process, force=force)


@dataclass
class RayProcess:
    """An actor, the poll that is under way, and how its process ended."""

    actor: Any
    asked: Any = None
    began: bool = False
    """Whether the actor has ever answered: until then it may be waiting for a node with room."""
    exit: Exit | None = None
    folder: Path | None = None
    """The attempt's folder, where it is carried."""
    carrier: Carrier | None = None
    carried_at: float = -math.inf
    """When it was last looked at what is to be carried, on the monotonic clock."""
    told_to_stop: bool = False


class RayExecutor:
    """Runs attempts on the cluster that this process is connected to (``connect``).

    A slot is not a place here: Ray looks for a node that has the resources.
    """

    def __init__(self, cpus: float = 1.0, gpus: float = 0.0, address: str = "") -> None:
        """``cpus`` and ``gpus`` are what Ray reserves for each attempt.

        Raises:
            UsageError: ``address`` is given, and none that fsspec knows.
        """
        self.cpus, self.gpus, self.address = cpus, gpus, address
        if address:
            Carrier(address)
        self.devices_per_launch = gpus or 1.0

    def launch(self, launch: Launch) -> RayProcess:
        """Makes the actor, which starts the process once a node has room.

        Raises:
            JobError: the address of the runs does not answer.
        """
        launch.folder.mkdir(parents=True, exist_ok=True)
        handle = self._handle(None, launch)
        if handle.carrier is not None:
            job = launch.folder.parent / EXPERIMENT
            with answering():
                handle.carrier.push(launch.folder, START, *([job] if job.exists() else []))
        threads = {"OMP_NUM_THREADS": str(max(1, int(self.cpus / launch.processes)))}
        runner = ray.remote(_Runner).options(
            name=launch.token,
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            max_restarts=0,
        )
        there = replace(launch, environment={**threads, **launch.environment})
        handle.actor = runner.remote(there, self._address_of(launch))
        return handle

    def _address_of(self, launch: Launch) -> str:
        return f"{self.address.rstrip('/')}/{launch.token}" if self.address else ""

    def _handle(self, actor: Any, launch: Launch) -> RayProcess:
        if not self.address:
            return RayProcess(actor)
        return RayProcess(actor, folder=launch.folder, carrier=Carrier(self._address_of(launch)))

    def adopt(self, launch: Launch) -> RayProcess | None:
        """Finds the actor of an earlier dispatcher's launch; its folder is fenced off where there is none."""
        actor = _find(launch.token)
        handle = self._handle(actor, launch)
        if actor is None:
            (launch.folder / FENCE).touch()  # the local launcher on whatever node looks for it
            if handle.carrier is not None:
                with answering():
                    handle.carrier.note(FENCE, "")
            late = _find(launch.token)
            if late is not None:
                ray.kill(late)
            with answering():
                self._bring_back(handle, FENCE)
            return None
        with contextlib.suppress(TimeoutError):  # it waits for a node: that is as good as alive
            self._ask(handle, seconds=5.0)
        if handle.exit is None:
            return handle
        with answering():
            self._bring_back(handle)
        return None

    def poll(self, handle: RayProcess) -> Exit | None:
        """How the process ended; without a code where its node went down with it."""
        if handle.exit is None:
            with contextlib.suppress(TimeoutError):
                self._ask(handle, seconds=0.0)
        if handle.carrier is not None and time.monotonic() - handle.carried_at >= CARRY_SECONDS:
            handle.carried_at = time.monotonic()
            with away():
                if handle.exit is None:
                    self._keep_up(handle)
                else:
                    self._bring_back(handle)
        return handle.exit if handle.carrier is None else None

    def _keep_up(self, handle: RayProcess) -> None:
        """What the run has written since, and the word that it shall stop."""
        assert handle.carrier is not None
        assert handle.folder is not None
        stop = handle.folder / STOP
        if stop.exists() and not handle.told_to_stop:
            handle.carrier.note(STOP, stop.read_text(encoding="utf-8"))
            handle.told_to_stop = True
        handle.carrier.pull(handle.folder, RUN)

    def _bring_back(self, handle: RayProcess, *kept: str) -> None:
        """All that a run has left which has ended; at the address stay the notes ``kept`` alone.

        Raises:
            JobError: it did not all arrive.
            Exception: whatever the address's client raises where it does not answer.
        """
        if handle.carrier is not None and handle.folder is not None:
            if not handle.carrier.pull(handle.folder, RUN):
                raise JobError(f"what {handle.folder} has left did not arrive completely")
            handle.carrier.clear(*kept)
            handle.carrier = None

    def waits(self, handle: RayProcess) -> bool:
        """Until the actor has answered once, no node may have had room for it."""
        return not handle.began

    def stop(self, handle: RayProcess, *, force: bool) -> None:
        """Passes it on; a launch that still waits for a node is taken back."""
        if self.poll(handle) is not None:
            return
        if handle.began or not force:
            handle.actor.stop.remote(force)
        else:
            ray.kill(handle.actor)

    def _ask(self, handle: RayProcess, seconds: float) -> None:
        """Asks the actor, or takes its answer to an earlier question.

        Raises:
            TimeoutError: it has not answered within ``seconds``.
        """
        if handle.asked is None:
            handle.asked = handle.actor.poll.remote()
        try:
            exit_ = ray.get(handle.asked, timeout=seconds)
        except RayActorError:
            handle.exit, handle.carried_at = Exit(None), -math.inf
            return
        handle.began, handle.asked = True, None
        if exit_ is not None:
            handle.exit, handle.carried_at = exit_, -math.inf
            ray.kill(handle.actor)  # gives its resources back


def connect(address: str | None) -> None:
    """Joins the cluster at ``address``, or at RAY_ADDRESS, or the one on this machine; else starts one."""
    if not ray.is_initialized():
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, include_dashboard=False)


def _find(token: str) -> Any | None:
    try:
        return ray.get_actor(token, namespace=NAMESPACE)
    except ValueError:
        return None
