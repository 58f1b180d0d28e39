"""Scores 1,000,000 recorded responses (500 questions x 2,000 samples) and prints the peak memory.

    python benchmarks/score_memory.py [--rows 1000000] [--folder DIR]

The rows are made up: short chains of reasoning that end in a boxed number, 40% of them right, wrong
ones spread over a few dozen values.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from pathlib import Path

from evals.recorded import score_file

QUESTIONS = 500


def write_rows(path: Path, rows: int) -> None:
    """Rows in random order within each round of questions, about 300 bytes each."""
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as handle:
        for number in range(rows):
            question, sample = number % QUESTIONS, number // QUESTIONS
            answer = question if rng.random() < 0.4 else (question + 1 + int(rng.expovariate(0.2)))
            steps = " ".join(str(rng.randrange(1000)) for _ in range(50))
            row = {
                "id": str(question),
                "sample": sample,
                "response": f"<think>{steps}</think> So the answer is \\boxed{{{answer}}}.",
                "gold": str(question),
                "tokens": 120,
            }
            handle.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--folder", type=Path, help="where the rows are written (default: a temporary folder)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, options.rows)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        [scores] = score_file(path, "math", out=Path(folder) / "out")
        seconds = time.perf_counter() - began
    peak, workers = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"rows {options.rows}, pass@1 {scores.pass_at_1().value:.4f}, {options.rows / seconds:.0f} rows/s")
    print(f"peak memory {peak:.0f} MiB ({before / 1024:.0f} before scoring), of a worker {workers:.0f} MiB")


if __name__ == "__main__":
    main()
