"""A started sandbox, seen from outside: spawns confined children, watches, ends and reaps them."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from evals.sandbox.charge import Charge
from evals.sandbox.confinement import ENVIRONMENT, Confinement
from evals.sandbox.programs import Limits

START_SECONDS = 30.0  # the interpreter's start and its imports, on a busy machine
REPLY_SECONDS = 10.0
KILL_SECONDS = 0.8  # a killed child that is not gone by then takes the whole cell with it
LOOK_SECONDS = 0.1  # between two looks at what is charged
CHUNK = 1 << 16
MODULES = ("codec", "frames", "changes", "answering", "examining", "zygote")  # in the order of their imports

# Receives the sources over descriptor 0 and runs them as modules: no file of ours need be visible inside.
BOOTSTRAP = """
import sys
sys.path = [folder for folder in sys.path if folder]  # not the working folder
import json, socket, types
control = socket.socket(fileno=0)
start = json.loads(control.recv(1 << 20))
for name in ("evals", "evals.sandbox", "evals.sandbox.inside"):
    sys.modules[name] = types.ModuleType(name)
for short, source in start["modules"].items():
    name = "evals.sandbox.inside." + short
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, "<%s>" % short, "exec"), module.__dict__)
    setattr(sys.modules["evals.sandbox.inside"], short, module)
module.main(control, module.Setup(**start["setup"]))
"""


class CellError(Exception):
    """The sandbox itself does not start or has stopped answering."""


class StuckError(CellError):
    """A killed program is slow to die; its cell is of no further use."""


@dataclass(frozen=True)
class Order:
    """A child to be started: its role in the zygote, its descriptors 0, 1, 2, … and its limits."""

    role: str
    fds: list[int]
    limits: Limits


@dataclass(frozen=True)
class Child:
    """A confined process: its number inside and a pidfd, readable once it and all its descendants ended."""

    pid: int
    pidfd: int


@dataclass
class Stream:
    """What is read from a pipe: ``keep`` bytes of it, the first ones or (``tail``) the last.

    With ``hear`` it is lines instead, each told without its end; True from ``hear`` ends the wait.
    """

    fd: int
    keep: int
    tail: bool = False
    hear: Callable[[bytes], bool] | None = None
    data: bytearray = field(default_factory=bytearray)
    total: int = 0
    heard: bool = False

    def drain(self) -> bool:
        """Reads one chunk; False when there is none now or ever."""
        try:
            chunk = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return False
        self.total += len(chunk)
        if self.tail:
            self.data += chunk
            del self.data[: max(0, len(self.data) - self.keep)]
        else:
            self.data += chunk[: self.keep - len(self.data)]
        if self.hear is not None:
            *lines, rest = bytes(self.data).split(b"\n")
            self.data[:] = rest
            for line in lines:
                self.heard |= self.hear(line)
        return bool(chunk)

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


class Cell:
    """One zygote in one sandbox. Not for two threads at once.

    Raises:
        CellError: from the constructor, where this confinement does not work here.
    """

    def __init__(self, confinement: Confinement) -> None:
        self.confinement = confinement
        self._pidfds: set[int] = set()
        self._control, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                confinement.command(BOOTSTRAP),
                stdin=inside.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                cwd="/",
                env=ENVIRONMENT,
                user=confinement.user,
                group=confinement.user,
                extra_groups=None if confinement.user is None else [],
            )
        except (OSError, subprocess.SubprocessError) as error:
            self._control.close()
            self._errors.close()
            raise CellError(f"{confinement.level} does not start: {error}") from None
        finally:
            inside.close()
        try:
            self._control.settimeout(START_SECONDS)
            self._exchange(self._start_message(), [])
            self._control.settimeout(REPLY_SECONDS)
        except (CellError, TimeoutError):
            self.close()
            raise

    def _start_message(self) -> dict[str, Any]:
        folder = importlib.resources.files("evals.sandbox.inside")
        filters = {kind: program.hex() for kind, program in self.confinement.filters.items()}
        setup = {
            "mode": self.confinement.mode,
            "readable": [*self.confinement.readable, *self.confinement.numpy],
            "packages": self.confinement.packages,
            "filters": filters,
        }
        return {"setup": setup, "modules": {name: (folder / f"{name}.py").read_text() for name in MODULES}}

    def spawn(self, *orders: Order, numpy: bool = False) -> list[Child]:
        """Starts confined children, in order; with ``numpy`` they, and later ones, have it imported."""
        request = [
            {
                "role": order.role,
                "fds": len(order.fds),
                "limits": {
                    "memory": order.limits.memory_mib << 20,
                    "cpu": int(order.limits.seconds) + 2,
                    "files": order.limits.files_mib << 20,
                },
            }
            for order in orders
        ]
        message = {"spawn": request, "numpy": numpy}
        reply, pidfds = self._exchange(message, [fd for order in orders for fd in order.fds])
        self._pidfds.update(pidfds)
        return [Child(pid, pidfd) for pid, pidfd in zip(reply["pids"], pidfds, strict=True)]

    def watch(self, until: Child, streams: list[Stream], charge: Charge, output_limit: int) -> str:
        """Reads the streams until ``until`` has ended or a line was heard that ends the wait.

        Returns "ended", or what came before that: "timeout", "output_limit".
        """
        with selectors.DefaultSelector() as selector:
            selector.register(until.pidfd, selectors.EVENT_READ)
            for stream in streams:
                os.set_blocking(stream.fd, False)
                selector.register(stream.fd, selectors.EVENT_READ, stream)
            look = time.monotonic() + min(LOOK_SECONDS, charge.allowed)
            late = False
            while True:
                ready = [key.data for key, _ in selector.select(max(0.0, look - time.monotonic()))]
                for stream in filter(None, ready):
                    if not stream.drain():
                        selector.unregister(stream.fd)
                if sum(stream.total for stream in streams) > output_limit:
                    return "output_limit"
                done = any(stream is None or stream.heard for stream in ready)
                if late or time.monotonic() >= look:
                    late = True  # what ends between two looks may have had too long as well
                    if (left := charge.left()) <= 0:
                        return "timeout"
                    look = time.monotonic() + min(LOOK_SECONDS, left)
                if done:
                    return self._last_words(streams, output_limit)

    @staticmethod
    def _last_words(streams: list[Stream], output_limit: int) -> str:
        """Reads what is left in the pipes, within the limit: a child that still runs may go on writing."""
        for stream in streams:
            while sum(s.total for s in streams) <= output_limit and stream.drain():
                pass
        return "output_limit" if sum(stream.total for stream in streams) > output_limit else "ended"

    def end(self, *children: Child) -> list[int]:
        """Kills the children with all their descendants, if they still run; their wait statuses.

        Raises:
            StuckError: one does not die.
        """
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        self._control.settimeout(KILL_SECONDS)
        try:
            statuses: list[int] = self._exchange({"reap": [c.pid for c in children]}, [])[0]["statuses"]
        except TimeoutError:
            raise StuckError("a killed program does not end") from None
        finally:
            self._control.settimeout(REPLY_SECONDS)
        for child in children:
            self._pidfds.remove(child.pidfd)
            os.close(child.pidfd)
        return statuses

    def close(self) -> None:
        """Ends the sandbox and everything in it."""
        self._control.close()
        for pidfd in self._pidfds:
            os.close(pidfd)
        self._process.kill()  # bubblewrap's child, the namespace's process 1, dies with it
        self._process.wait()
        self._errors.close()

    def _exchange(self, message: dict[str, Any], fds: list[int]) -> tuple[dict[str, Any], list[int]]:
        try:
            socket.send_fds(self._control, [json.dumps(message).encode()], fds)
            data, received, _, _ = socket.recv_fds(self._control, CHUNK, 32)
        except TimeoutError:
            raise
        except OSError as error:
            raise CellError(f"{self.confinement.level}: {self._complaint() or error}") from None
        if not data:
            raise CellError(f"{self.confinement.level}: {self._complaint() or 'it ended'}")
        reply: dict[str, Any] = json.loads(data)
        return reply, list(received)

    def _complaint(self) -> str:
        """The last line that the sandbox wrote to its standard error."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.5)
        self._errors.seek(0)
        lines = self._errors.read(CHUNK).decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else ""
