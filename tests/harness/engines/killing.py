"""A command that is killed as soon as something has come true."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PATIENCE = 120.0
"""Seconds after which it will not come true any more."""


def killed_when(ready: Callable[[], bool], words: Sequence[str], folder: Path) -> None:
    """Runs ``words`` in ``folder`` and ends it with signal 9 once ``ready``; it must not end before."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=folder)
    try:
        until = time.monotonic() + PATIENCE
        while not ready():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
