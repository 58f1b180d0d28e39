"""A pool of processes that compare answers symbolically and can be killed at any moment.

A short answer can send SymPy into computations that never end or that exhaust memory, and math-verify's own
time limit does not interrupt all of them. So each comparison runs in a process with a memory limit, a limit
on processor time that the kernel enforces, and a parent that watches the clock on the wall. A process that
is killed costs its own comparison; those queued behind it go to a fresh one.

Processes are started when the first comparison needs one. They are programs of their own, not forks: the
parent may hold a GPU and threads. ``python -m evals.grading.math_workers SECONDS BYTES`` is one of them.
"""

from __future__ import annotations

import contextlib
import json
import os
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
from types import TracebackType
from typing import IO, Any, Literal, NamedTuple, Self, cast

from evals.grading.votes import KINDS, Kind, Sort

Outcome = Literal["equal", "different", "gold unreadable", "failed", "timed out"]

_READY = "ready"
_BATCH = 8  # comparisons a process is given at once
_START_SECONDS = 120.0  # importing SymPy on a busy machine
_WALL_FACTOR = 10.0  # the wall clock is this much more patient: on a busy machine it says little
_MOST_FAILED_STARTS = 3


class Pair(NamedTuple):
    """One comparison: does ``answer`` mean ``gold``? ``percent``: the question asks for a percentage."""

    gold: str
    answer: str
    percent: bool = False


Job = Pair | str  # to be compared; a leaf to be evaluated


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


class Pool:
    """``workers`` processes, each comparison limited to ``seconds`` of processor time and ``memory`` bytes.

    Safe to share between threads; calls wait for each other. Use it as a context manager, or ``close`` it;
    processes that are forgotten end when this process does.
    """

    def __init__(self, workers: int = 2, seconds: float = 3.0, memory: int = 2 << 30) -> None:
        self.seconds = seconds
        self._size = workers
        self._memory = memory
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._lock = threading.Lock()

    def compare(self, pairs: Sequence[Pair]) -> list[Outcome]:
        """One outcome per pair, in order; "timed out" and "failed" stand for themselves, nothing raises."""
        return cast("list[Outcome]", self._run(pairs))

    def sorts(self, leaves: Sequence[str]) -> list[Sort | None]:
        """``symbolic.sort`` of each leaf; None too where it takes too long."""
        replies = [reply.split() for reply in self._run(leaves)]
        return [
            Sort(cast(Kind, reply[0]), complex(reply[1])) if reply[0] in KINDS else None for reply in replies
        ]

    def close(self) -> None:
        """Ends the processes."""
        with self._lock:
            for worker in self._workers:
                _end(worker)
            self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, jobs: Sequence[Job]) -> list[str]:
        with self._lock:
            return self._replies(jobs)

    def _replies(self, jobs: Sequence[Job]) -> list[str]:
        replies = ["failed"] * len(jobs)
        waiting = deque(range(len(jobs)))
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
        return replies

    def _staff(self, jobs: int) -> None:
        while len(self._workers) < min(self._size, jobs) and self._failed_starts < _MOST_FAILED_STARTS:
            self._workers.append(_start(self.seconds, self._memory))

    def _give(self, worker: _Worker, waiting: deque[int], jobs: Sequence[Job]) -> None:
        # Small shares at the end, so that no process idles while another has a queue.
        share = max(1, min(_BATCH, len(waiting) // (2 * self._size)))
        worker.jobs.extend(waiting.popleft() for _ in range(share))
        lines = "".join(json.dumps(jobs[job]) + "\n" for job in worker.jobs)
        worker.deadline = self._limit()
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
            patience = min((worker.deadline for worker in busy), default=0.0) - time.monotonic()
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
                self._failed_starts = 0
            else:
                replies[worker.jobs.popleft()] = reply
            worker.deadline = self._limit()

    def _bury(self, worker: _Worker, replies: list[str], waiting: deque[int]) -> None:
        """Gives up a process and the comparison that it was at; the others are done by another one."""
        self._workers.remove(worker)
        overdue = worker.deadline < time.monotonic()
        ended_by = _end(worker)
        if not worker.ready:
            self._failed_starts += 1
        elif worker.jobs:
            spent = overdue or ended_by == -signal.SIGPROF
            replies[worker.jobs.popleft()] = "timed out" if spent else "failed"
        waiting.extendleft(reversed(worker.jobs))

    def _limit(self) -> float:
        return time.monotonic() + _WALL_FACTOR * self.seconds


def _start(seconds: float, memory: int) -> _Worker:
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", "evals.grading.math_workers", str(seconds), str(memory)],
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


def _sort(found: Sort | None) -> str:
    return f"{found.kind} {found.value}" if found else "none"


def main(arguments: Sequence[str]) -> None:
    """Answers the jobs on standard input, one JSON line each, until it ends."""
    seconds, memory = float(arguments[0]), int(arguments[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Replies go to the pipe; whatever a library prints must not be taken for one.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    from evals.grading import symbolic

    symbolic.forbid_evaluation()
    print(_READY, file=replies, flush=True)
    for line in sys.stdin:
        job: str | list[Any] = json.loads(line)
        # The default action of SIGPROF ends the process, whatever code it is in.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            reply = _sort(symbolic.sort(job)) if isinstance(job, str) else symbolic.compare(*Pair(*job))
        except MemoryError:
            return  # a fresh process has its memory back
        except Exception:
            reply = "failed"
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(reply, file=replies, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
