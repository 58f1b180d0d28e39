"""What the dispatcher itself takes: a sweep whose trials are real processes that compute nothing.

    python benchmarks/dispatcher.py [--trials 1000]

Prints the seconds of the whole sweep, the dispatcher's processor time per trial (and its share of a trial of
30 s on each of two workers), and its resident memory after a quarter of the trials and at the end.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import psutil

from harness.config import Experiment, validate
from harness.sweep.events import Event
from harness.sweep.runner import run_sweep

TRIAL_SECONDS = 30.0
WORKERS = 2
NOTHING = """
mkdir -p "$3/checkpoints/step-1"
echo '{"step": 1, "stage": "grpo", "time": 0, "dev/pass@1": 0.5, "dev/stderr": 0.1}' > "$3/metrics.jsonl"
echo '{"state": "done", "reason": "", "time": 0}' > "$3/status.json"
"""


def experiment(trials: int) -> Experiment:
    """A sweep over three settings, by TPE, with successive halving."""
    return validate(
        {
            "name": "dispatcher",
            "policy": {"model": "tiny"},
            "data": {"train": "chain:train", "dev": "chain:dev"},
            "stages": [{"kind": "grpo", "steps": 8, "eval_every": 1}],
            "sweep": {
                "trials": trials,
                "workers": WORKERS,
                "confirm_seeds": 0,
                "space": {
                    "grpo.learning_rate": {"low": 1e-6, "high": 1e-2, "log": True},
                    "grpo.beta": {"low": 0.0, "high": 0.1},
                    "grpo.group_size": [2, 4, 8],
                },
            },
        },
        where="benchmark",
    )


def measure(options: argparse.Namespace) -> None:
    """The whole dispatcher over real processes that compute nothing."""
    process = psutil.Process()
    memory: dict[int, float] = {}

    def note(event: Event) -> None:
        if event.kind == "complete":
            memory[event.counts.finished] = process.memory_info().rss / 2**20

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "nothing.sh"
        script.write_text(NOTHING)
        began, busy = time.perf_counter(), time.process_time()
        swept = experiment(options.trials)
        command = ("sh", str(script))
        run_sweep(swept, Path(folder) / "sweep", command=command, on_event=note, poll_seconds=0.005)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
    share = busy / options.trials / (TRIAL_SECONDS / WORKERS)
    print(f"{options.trials} trials that compute nothing, {WORKERS} workers: {seconds:.1f} s")
    print(f"dispatcher: {1000 * busy / options.trials:.1f} ms of processor time a trial")
    print(f"of trials of {TRIAL_SECONDS:.0f} s with {WORKERS} workers: {share:.2%}")
    quarter = memory[options.trials // 4]
    print(f"memory after a quarter {quarter:.0f} MiB, at the end {memory[options.trials]:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    measure(parser.parse_args())


main()
