"""A pool of processes that compare answers symbolically and can be killed at any moment.

A short answer can send SymPy into computations that never end or that exhaust memory, and math-verify's own
time limit does not interrupt all of them. So each comparison runs in a process with a memory limit and a
limit on processor time. When the time is up an exception ends the comparison and the process goes on; one
that does not come back from it is killed by the kernel, or by the parent that watches the clock on the wall.
A process that is killed costs its own comparison; those queued behind it go to a fresh one.

Processes are started when the first comparison needs one. They are programs of their own, not forks: the
parent may hold a GPU and threads. ``python -m evals.graders.math.workers BYTES`` is one of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

from evals.base.closing import Closing
from evals.graders.math.votes import KINDS, Kind, Sort

Outcome = Literal["equal", "different", "gold unreadable", "failed", "timed out"]
Readability = Literal["readable", "gold unreadable", "failed", "timed out"]

_READY = "ready"
_BATCH = 8  # comparisons a process is given at once
_START_SECONDS = 120.0  # importing SymPy on a busy machine
_WALL_FACTOR = 10.0  # the wall clock is this much more patient: on a busy machine it says little
_LEAST_WALL_SECONDS = 10.0
_GRACE_SECONDS = 1.0  # of processor time in which a comparison may end by itself when its time is up
_MOST_FAILED_STARTS = 3
_ALONE_SECONDS = (
    1.5  # in which the first process does all: each must load SymPy and build the parser's tables
)


class Pair(NamedTuple):
    """One comparison: does ``answer`` mean ``gold``? ``percent``: the question asks for a percentage."""

    gold: str
    answer: str
    percent: bool = False


class Sought(NamedTuple):
    """What is asked about one text: the ``sort`` of a leaf, or whether a gold is ``readable``."""

    what: Literal["sort", "readable"]
    text: str


Job = Pair | Sought


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    deadline: float
    ready: bool = False
    jobs: deque[int] = field(default_factory=deque)
    received: bytes = b""

    @property
    def stdin(self) -> IO[bytes]:
        return cast("IO[bytes]", self.process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        return cast("IO[bytes]", self.process.stdout)


class Pool(Closing):
    """Up to ``workers`` processes, each comparison limited in processor time and memory.

    ``seconds`` and ``memory`` (bytes) are the limits. The first process works alone for a second and a half
    before others start. Safe to share between threads; calls wait for each other. Use it as a context
    manager, or ``close`` it; processes that are forgotten end when this process does.
    """

    def __init__(self, workers: int = 2, seconds: float = 3.0, memory: int = 2 << 30) -> None:
        self.seconds = seconds
        self.size = workers
        self._memory = memory
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._limit = seconds
        self._alone_seconds = _ALONE_SECONDS  # what is left of them
        self._alone_until = 0.0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Starts the first process, and does not wait for it."""
        with self._lock:
            if not self._workers and self._failed_starts < _MOST_FAILED_STARTS:
                self._workers.append(_start(self._memory))

    def compare(self, pairs: Sequence[Pair], seconds: float | None = None) -> list[Outcome]:
        """One outcome per pair, in order; "timed out" and "failed" stand for themselves, nothing raises.

        ``seconds`` is a shorter limit than the pool's for each comparison of this call.
        """
        return cast("list[Outcome]", self._run(pairs, seconds or self.seconds))

    def sorts(self, leaves: Sequence[str]) -> list[Sort | None]:
        """``symbolic.sort`` of each leaf; None too where it takes too long."""
        jobs = [Sought("sort", leaf) for leaf in leaves]
        replies = [reply.split() for reply in self._run(jobs, self.seconds)]
        return [
            Sort(cast(Kind, reply[0]), complex(reply[1])) if reply[0] in KINDS else None for reply in replies
        ]

    def readable(self, golds: Sequence[str]) -> list[Readability]:
        """Whether each gold answer can be read as mathematics or words."""
        jobs = [Sought("readable", gold) for gold in golds]
        return cast("list[Readability]", self._run(jobs, self.seconds))

    def close(self) -> None:
        """Ends the processes."""
        with self._lock:
            for worker in self._workers:
                _end(worker)
            self._workers.clear()

    def _run(self, jobs: Sequence[Job], seconds: float) -> list[str]:
        with self._lock:
            self._limit = min(seconds, self.seconds)
            return self._replies(jobs)

    def _replies(self, jobs: Sequence[Job]) -> list[str]:
        replies = ["failed"] * len(jobs)
        waiting = deque(range(len(jobs)))
        self._alone_until = time.monotonic() + self._alone_seconds
        try:
            while waiting or any(worker.jobs for worker in self._workers):
                self._staff(len(waiting))
                if not self._workers:
                    return replies  # none can be started: what is left has failed
                for worker in list(self._workers):
                    if waiting and worker.ready and not worker.jobs:
                        self._give(worker, waiting, jobs)
                self._listen(replies, waiting)
        except BaseException:  # Ctrl-C: replies to come would be taken for those of the next call
            for worker in self._workers:
                _end(worker)
            self._workers.clear()
            raise
        self._alone_seconds = max(0.0, min(self._alone_seconds, self._alone_until - time.monotonic()))
        return replies

    def _staff(self, jobs: int) -> None:
        wanted = min(self.size, jobs)
        if time.monotonic() < self._alone_until:
            wanted = min(wanted, 1)
        while len(self._workers) < wanted and self._failed_starts < _MOST_FAILED_STARTS:
            self._workers.append(_start(self._memory))

    def _give(self, worker: _Worker, waiting: deque[int], jobs: Sequence[Job]) -> None:
        # Small shares at the end, so that no process idles while another has a queue.
        share = max(1, min(_BATCH, len(waiting) // (2 * self.size)))
        worker.jobs.extend(waiting.popleft() for _ in range(share))
        lines = "".join(_line(self._limit, jobs[job]) for job in worker.jobs)
        worker.deadline = self._deadline()
        try:
            worker.stdin.write(lines.encode())
            worker.stdin.flush()
        except OSError:
            worker.deadline = 0.0  # it died: found out when its end of file is read

    def _listen(self, replies: list[str], waiting: deque[int]) -> None:
        busy = [worker for worker in self._workers if worker.jobs or not worker.ready]
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                selector.register(worker.stdout, selectors.EVENT_READ, worker)
            until = min((worker.deadline for worker in busy), default=0.0)
            now = time.monotonic()
            if waiting and now < self._alone_until:
                until = min(until, self._alone_until)
            patience = until - now
            events = selector.select(max(0.0, patience))
        for key, _ in events:
            self._receive(key.data, replies, waiting)
        now = time.monotonic()
        for worker in busy:
            if worker in self._workers and worker.deadline < now:
                self._bury(worker, replies, waiting)

    def _receive(self, worker: _Worker, replies: list[str], waiting: deque[int]) -> None:
        data = os.read(worker.stdout.fileno(), 1 << 16)
        if not data:
            self._bury(worker, replies, waiting)
            return
        *lines, worker.received = (worker.received + data).split(b"\n")
        for line in lines:
            reply = line.decode()
            if reply == _READY:
                worker.ready = True
                if len(self._workers) == 1:
                    self._alone_until = time.monotonic() + self._alone_seconds
                self._failed_starts = 0
            else:
                replies[worker.jobs.popleft()] = reply
            worker.deadline = self._deadline()

    def _bury(self, worker: _Worker, replies: list[str], waiting: deque[int]) -> None:
        """Gives up a process and the comparison that it was at; the others are done by another one."""
        self._workers.remove(worker)
        overdue = worker.deadline < time.monotonic()
        ended_by = _end(worker)
        if not worker.ready:
            self._failed_starts += 1
        elif worker.jobs:
            spent = overdue or ended_by == -signal.SIGVTALRM
            replies[worker.jobs.popleft()] = "timed out" if spent else "failed"
        waiting.extendleft(reversed(worker.jobs))

    def _deadline(self) -> float:
        return time.monotonic() + max(_LEAST_WALL_SECONDS, _WALL_FACTOR * self._limit)


def _start(memory: int) -> _Worker:
    root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", "evals.graders.math.workers", str(memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C is the parent's to handle
    )
    return _Worker(process, deadline=time.monotonic() + _START_SECONDS)


def _end(worker: _Worker) -> int:
    """Kills and reaps; returns the exit code it had, or gets by this."""
    worker.process.kill()
    code = worker.process.wait()
    worker.stdout.close()
    with contextlib.suppress(OSError):  # what was still to be written has no reader any more
        worker.stdin.close()
    return code


def _line(seconds: float, job: Job) -> str:
    return json.dumps([seconds, "compare", *job] if isinstance(job, Pair) else [seconds, *job]) + "\n"


def _sort(found: Sort | None) -> str:
    return f"{found.kind} {found.value}" if found else "none"


class _TimeUpError(BaseException):
    """A comparison's time is up. No library's ``except Exception`` takes it for one of its own."""


def _time_up(*_: object) -> None:
    raise _TimeUpError


def main(arguments: Sequence[str]) -> None:
    """Answers the jobs on standard input, one JSON line each, until it ends."""
    memory = int(arguments[0])
    if platform.system() != "Darwin":  # macOS refuses a limit on addresses
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Replies go to the pipe; whatever a library prints must not be taken for one.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    from evals.graders.math import symbolic

    def answer(what: str, *job: Any) -> str:
        if what == "sort":
            return _sort(symbolic.sort(*job))
        if what == "readable":
            return "readable" if symbolic.readable(*job) else "gold unreadable"
        return symbolic.compare(*Pair(*job))

    symbolic.forbid_evaluation()
    signal.signal(signal.SIGPROF, _time_up)
    print(_READY, file=replies, flush=True)
    for line in sys.stdin:
        seconds, *job = json.loads(line)
        try:
            try:
                # The default action of SIGVTALRM ends the process, whatever code it is in; SIGPROF raises,
                # and again where something swallowed it.
                signal.setitimer(signal.ITIMER_VIRTUAL, seconds + _GRACE_SECONDS)
                signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
                reply = answer(*job)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
        except _TimeUpError:
            reply = "timed out"
        except MemoryError:
            return  # a fresh process has its memory back
        except Exception:
            reply = "failed"
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        print(reply, file=replies, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
