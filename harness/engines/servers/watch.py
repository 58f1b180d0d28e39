"""Runs a command that must not outlive the process that wants it, whatever ends that one.

    python -m harness.engines.servers.watch PARENT COMMAND…

It is started as the leader of a process group of its own. When the parent has gone, the whole group is
killed, and with it the command's own children, which a signal for the death of a parent would not reach.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

LOOKS_EVERY = 0.3
"""Seconds between two looks at who the parent is."""


def main() -> int:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while True:
        try:
            return child.wait(LOOKS_EVERY)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
