"""Runs programs that a model wrote, many at a time, each confined on its own.

Every program gets fresh processes, forked from a trusted interpreter that waits inside a sandbox (a cell);
there is a cell for each worker thread. What holds, at the levels with bubblewrap:

* A program sees the system's read-only folders, an empty /tmp of its own and two pipes: no other file, no
  network, no environment, no process but its own.
* It ends with all its descendants when its seconds are up, which this process counts (``charge``); what it
  leaves behind dies with its namespaces.
* It takes at most its memory, output and file limits; this process keeps at most the output limit of it.
* It cannot forge a verdict. What a script prints is compared here; an exam's tests run in a second process,
  confined as well, which has the expected values and gets only plain data from the program.
* It cannot affect the next program: neither the cell nor its memory is reachable from a child.

What does not hold: a program that memorised the tests passes them; a flaw of the kernel is a way out.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from evals.base.closing import Closing
from evals.base.machine import cores
from evals.sandbox import confinement
from evals.sandbox.cell import Cell, CellError, StuckError
from evals.sandbox.confinement import Confinement
from evals.sandbox.programs import Outcome, Program, Script
from evals.sandbox.running import run_exam, run_script

BROKEN = "the sandbox broke down"


class Sandbox(Closing):
    """A context manager that runs programs in ``workers`` cells (default: one per processor it may use).

    ``isolation`` names the level (see ``confinement``). Where it is "none", nothing is ever run and every
    outcome is a "sandbox_error" whose detail says what to install.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers or cores()
        self._confinement, self._problem = available()
        self._cells: queue.SimpleQueue[Cell | None] = queue.SimpleQueue()
        for _ in range(self._workers):
            self._cells.put(None)
        # Cells are started by these threads, which live as long as they: a cell dies with its starter.
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="sandbox")

    @property
    def isolation(self) -> str:
        return self._confinement.level if self._confinement else "none"

    def run_many(self, programs: Sequence[Program]) -> list[Outcome]:
        """Runs every program; outcomes in order. A program never raises here.

        Where a busy machine may be to blame for a timeout, the program is run once more, alone.
        """
        outcomes = list(self._threads.map(self._run, programs))
        for number, outcome in enumerate(outcomes):
            if outcome.doubtful:
                outcomes[number] = self._threads.submit(self._run, programs[number]).result()
        return outcomes

    def close(self) -> None:
        """Ends every cell and what runs in it."""
        self._threads.shutdown(cancel_futures=True)
        while not self._cells.empty():
            if cell := self._cells.get():
                cell.close()

    def _run(self, program: Program) -> Outcome:
        if self._confinement is None:
            return Outcome("sandbox_error", self._problem)
        cell = self._cells.get()
        try:
            outcome, cell = self._attempt(self._confinement, program, cell)
            if outcome.status == "sandbox_error" and outcome.detail.startswith(BROKEN):
                # In a new cell: whatever broke this one may have broken the others that wait.
                outcome, cell = self._attempt(self._confinement, program, None)
        finally:
            self._cells.put(cell)
        return outcome

    def _attempt(
        self, level: Confinement, program: Program, cell: Cell | None
    ) -> tuple[Outcome, Cell | None]:
        """Runs the program in the cell, or in a new one; the outcome and the cell, None where it failed."""
        started = time.monotonic()
        try:
            if cell is None:
                cell = Cell(level)
                started = time.monotonic()  # the cell's start is not the program's time
            outcome = run_script(cell, program) if isinstance(program, Script) else run_exam(cell, program)
        except (CellError, OSError) as error:
            stuck = isinstance(error, StuckError)
            outcome = Outcome(
                "timeout" if stuck else "sandbox_error", str(error) if stuck else f"{BROKEN}: {error}"
            )
            if cell:
                cell.close()
                cell = None
        return replace(outcome, seconds=time.monotonic() - started), cell


@functools.cache
def available() -> tuple[Confinement | None, str]:
    """The best confinement that works here, shown by running a program in it; or None and what to do."""
    for candidate in confinement.candidates():
        try:
            cell = Cell(candidate)
        except CellError:
            continue
        with contextlib.closing(cell), contextlib.suppress(CellError, OSError):
            if run_script(cell, Script("print(6 * 7)", ("",))).outputs == ("42\n",):
                return candidate, ""
    return None, confinement.advice()
