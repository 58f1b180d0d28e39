"""A run's sign of life: its file ``.alive`` is touched every few seconds, whatever the process is at.

Sampling, benchmarks, downloads and the loading of a model can each take longer than any limit on silence that
would be of use, and write nothing meanwhile. So whoever watches a run watches this file.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

ALIVE = ".alive"
BEAT_SECONDS = 5.0
ATTEMPT = "HARNESS_ATTEMPT"
"""The environment variable that tells a process that it is an attempt, and which one."""


@contextlib.contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """Calls ``beat`` at once and then every ``BEAT_SECONDS``, in a thread, until the block ends."""
    ended = threading.Event()

    def keep_on() -> None:
        while True:
            with contextlib.suppress(OSError):  # a full or absent disk: whoever needs it will say so
                beat()
            if ended.wait(BEAT_SECONDS):
                return

    thread = threading.Thread(target=keep_on, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def attempt_beating(folder: Path) -> Iterator[None]:
    """Beats in an attempt's folder, before its run is opened too; elsewhere does nothing.

    An attempt's folder is its own. In any other the file may still say when an earlier process was alive.
    """
    if ATTEMPT not in os.environ:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with beating((folder / ALIVE).touch):
        yield
