"""Live pages about a job while it runs: what `--view` starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path


def serve(folder: Path) -> str | None:
    """Starts `harness view` on ``folder`` in a process that ends with this one; returns its address.

    None where it does not start: the job goes on without it.
    """
    view = subprocess.Popen(
        [
            *(sys.executable, "-m", "harness.engines.servers.watch", str(os.getpid())),
            *(sys.executable, "-m", "harness.cli", "view", str(folder)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for the job; and the watcher ends its whole process group
    )
    assert view.stdout is not None
    found = re.search(r"http://\S+", view.stdout.readline())
    return None if found is None else found[0]
