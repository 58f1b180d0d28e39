"""Attempts as processes of this machine, each in its own session with its share of cores and devices."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from evals.base.errors import JobError
from evals.base.machine import cores
from harness.models.devices import visible_devices
from harness.sweep.executors.registry import Exit, Launch
from harness.train.heartbeat import ATTEMPT as TOKEN

# The shell leaves its line of the process table, which `exec` keeps, before the command begins, so that a
# dispatcher killed in the middle of a launch leaves no process that nobody knows of. It writes `process` and
# then looks for `fence`; `adopt` writes `fence` and then looks for `process`: one of the two sees the other.
LAUNCHER = """
read -r boot < /proc/sys/kernel/random/boot_id; read -r stat < /proc/$$/stat
echo "$boot $stat" > "$1/process"
[ -e "$1/fence" ] && exit 1
shift; exec "$@"
"""
WAITING = "passive"
"""What a thread does that has nothing to do: it gives its core to the trials and graders beside it."""
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
"""Before the command: the process ends when the one that started it does, however that ended."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class ProcessId:
    """A process for all time: its id comes back sooner or later, but not with the same start.

    The start is in clock ticks since the machine's boot, so that a clock that is set does not move it.
    """

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return _start_and_state(stat) == (self.start, True)


@dataclass
class LocalProcess:
    """A launched process: ``child`` where this dispatcher started it, ``adopted`` where another did."""

    pid: int
    child: subprocess.Popen[bytes] | None = None
    adopted: ProcessId | None = None


class LocalExecutor:
    """Runs attempts on this machine.

    The cores are split evenly between the launches at work at a time (by OMP_NUM_THREADS), and the devices
    between the slots: slot i of w sees every w-th device, or shares one where there are fewer devices than
    slots. Each of its processes works on one of them, and that is what it costs.
    """

    def __init__(self, slots: int, devices: list[str] | None = None, processes: int = 1) -> None:
        """``devices`` are names as CUDA_VISIBLE_DEVICES takes them; by default those of the machine.

        ``processes``: how many at work a launch comes to.
        """
        self.slots = slots
        self.devices = visible_devices() if devices is None else devices
        self.devices_per_launch = min(len(self.devices) / slots, processes) if self.devices else 1.0
        self.cores = cores()

    def launch(self, launch: Launch) -> LocalProcess:
        """Starts the process in a session of its own: Ctrl-C in the terminal reaches the dispatcher only."""
        launch.folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **self._share(launch), **launch.environment, TOKEN: launch.token}
        try:
            with (launch.folder / "log.txt").open("ab") as log:
                child = subprocess.Popen(
                    ["/bin/sh", "-c", LAUNCHER, "attempt", str(launch.folder), *launch.command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise JobError(f"{launch.folder}: the process cannot be started: {error}") from None
        return LocalProcess(child.pid, child=child)

    def adopt(self, launch: Launch) -> LocalProcess | None:
        """Finds a launch of an earlier dispatcher again; if it has ended, what it left behind is killed."""
        (launch.folder / "fence").touch()
        process = _read_process(launch.folder / "process")
        if process is not None and process.alive:
            (launch.folder / "fence").unlink()
            return LocalProcess(process.pid, adopted=process)
        for straggler in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if straggler.environ().get(TOKEN) == launch.token:
                    straggler.kill()
        return None

    def poll(self, handle: LocalProcess) -> Exit | None:
        """Whether the process has ended; its stragglers are killed before its id is given back."""
        if handle.child is None:
            if handle.adopted is not None and handle.adopted.alive:
                return None
            _signal_group(handle.pid, signal.SIGKILL)
            return Exit(None)
        if handle.child.returncode is None:
            ended = os.waitid(os.P_PID, handle.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return None
            _signal_group(handle.pid, signal.SIGKILL)
        return Exit(handle.child.wait())

    def waits(self, handle: LocalProcess) -> bool:
        """Never: it is started at once."""
        return False

    def stop(self, handle: LocalProcess, *, force: bool) -> None:
        """SIGTERM, or SIGKILL with ``force``, to the process and its children."""
        if self.poll(handle) is None:
            _signal_group(handle.pid, signal.SIGKILL if force else signal.SIGTERM)

    def _share(self, launch: Launch) -> dict[str, str]:
        threads = shared_cores((launch.beside or self.slots) * launch.processes, self.cores)
        share = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        share |= {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", WAITING)}
        if self.devices:
            own = self.devices[launch.slot :: self.slots] or [self.devices[launch.slot % len(self.devices)]]
            share["CUDA_VISIBLE_DEVICES"] = ",".join(own)
        return share


def shared_cores(processes: int, there: int | None = None) -> int:
    """The cores that each of ``processes`` at work gets, of those that are ``there``: this machine's."""
    return max(1, (cores() if there is None else there) // processes)


def _read_process(path: Path) -> ProcessId | None:
    """The process that the launcher noted; None where it noted none, or the machine was booted since."""
    boot, _, stat = (
        path.read_text(encoding="ascii", errors="replace").partition(" ") if path.exists() else ("", "", "")
    )
    if not stat.endswith("\n") or boot != BOOT_ID.read_text(encoding="ascii").strip():
        return None
    return ProcessId(int(stat.split(maxsplit=1)[0]), _start_and_state(stat)[0])


def _start_and_state(stat: str) -> tuple[int, bool]:
    """From a line of /proc/PID/stat: when the process began, and whether it is more than a zombie."""
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return int(fields[19]), fields[0] not in ("Z", "X")


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
