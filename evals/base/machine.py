"""What this machine lets this process have."""

from __future__ import annotations

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of a container (cgroup v2): microseconds of processor time in a period of so many, or "max"."""


def cores() -> int:
    """The processor cores that this process may use; where a system does not say, all there are."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return min(len(os.sched_getaffinity(0)), _granted())
    return os.cpu_count() or 1


def _granted() -> int:
    """How many cores' time a container has, rounded up; without a limit more than there are."""
    try:
        quota, period = QUOTA.read_text(encoding="ascii").split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return os.cpu_count() or 1
