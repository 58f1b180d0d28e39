"""One worker against two, on a sweep whose trials compute all the time: wall-clock seconds and the ratio.

    python benchmarks/workers.py [--trials 6 --steps 24]

Nothing is pruned or confirmed, and the settings do not differ, so both train the same trials. A single worker
has the threads of all cores, which a small policy cannot use. Starting the dispatcher counts for both.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import config
from harness.config.shipped import experiment_file
from harness.models.policy import load_policy


def seconds(workers: int, options: argparse.Namespace, folder: Path) -> float:
    """How long a sweep of so many workers takes."""
    settings = {
        "sweep.workers": workers,
        "sweep.trials": options.trials,
        "sweep.startup_trials": options.trials,
        "sweep.space": "{ 'grpo.beta' = [0.01, 0.0101] }",
        "sweep.pruner": "none",
        "sweep.confirm_seeds": 0,
        "grpo.steps": options.steps,
        "grpo.eval_every": options.steps,
        "eval.benchmarks": [],
        "tracking.wandb": "off",
    }
    file = experiment_file("tiny-quickstart")
    command = [sys.executable, "-m", "harness.cli", "sweep", str(file), "--quiet"]
    command += [word for key, value in settings.items() for word in ("-s", f"{key}={value}")]
    began = time.perf_counter()
    subprocess.run([*command, "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--steps", type=int, default=24)
    options = parser.parse_args()
    load_policy(config.Policy(model="tiny"))  # pretrained once, outside the clock
    with tempfile.TemporaryDirectory() as name:
        two = seconds(2, options, Path(name) / "two")
        one = seconds(1, options, Path(name) / "one")
    print(f"one worker {one:.1f} s, two workers {two:.1f} s, ratio {one / two:.2f}")


if __name__ == "__main__":
    main()
