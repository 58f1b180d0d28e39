"""A GRPO step of two versions of this project, in turns: is the newer one as fast?

    git worktree add ../old COMMIT
    python benchmarks/two_versions.py ../old . [--policy random] [--steps 20]

Each version trains in a process of its own, one thread, on its own ``benchmarks/grpo_step.py``. They wait for
each other after every step, so that a machine that is slow for a minute is slow for both. Printed are the
median and the quartiles of new / old over the steps, the first of each left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

STEPS = """
import sys, tempfile
from pathlib import Path
sys.path.insert(0, "benchmarks")
import torch
torch.set_num_threads(1)
import grpo_step
out, sys.stdout = sys.stdout, sys.stderr

def tick(clock):
    now = clock._now()
    print(now[0] - clock._last[0], now[1] - clock._last[1], file=out, flush=True)
    sys.stdin.readline()
    clock._last = clock._now()

grpo_step.Clock.tick = tick
with tempfile.TemporaryDirectory() as folder:
    job = grpo_step.make_job(sys.argv[1], int(sys.argv[2]), Path(folder))
    grpo_step.ours(job, Path(folder) / "run")
"""


class Version:
    """A process that makes a step whenever it is asked."""

    def __init__(self, tree: Path, policy: str, steps: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", STEPS, policy, str(steps)],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read()  # the first step is warm-up

    def step(self) -> tuple[float, float]:
        """Seconds by the clock, and of the processor."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> tuple[float, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args}: ended with {self._process.wait()}")
        wall, cpu = map(float, line.split())
        return wall, cpu

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--policy", choices=["random", "tiny"], default="random")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    old, new = (Version(tree, options.policy, options.steps + 1) for tree in (options.old, options.new))
    ratios: list[tuple[float, ...]] = []
    for number in range(options.steps):
        first, second = (old, new) if number % 2 else (new, old)
        taken = {first: first.step(), second: second.step()}
        ratios.append(tuple(b / a for a, b in zip(taken[old], taken[new], strict=True)))
    for version in (old, new):
        version.close()
    for name, column in zip(("by the clock", "processor time"), zip(*ratios, strict=True), strict=True):
        low, middle, high = statistics.quantiles(column, n=4)
        print(f"new / old, {name}: {middle:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
