"""Writes the report of 1,000,000 samples over 8 models: seconds, peak memory, size of the page.

    python benchmarks/report.py [--samples 1000000] [--models 8] [--folder DIR] [--json]

The samples are made up: 500 questions of different difficulty, half a kilobyte of reasoning each. The report
is written by a process of its own, as `harness report` would.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evals.scores import Scores
from evals.stats.metrics import QuestionStats, Vote

QUESTIONS = 500
TOKENS = 180
STEPS = "Let us compute the next step of the sum carefully. " * 12
GOALS = {"seconds": 30.0, "peak_gib": 2.0, "page_mb": 15.0}


def write_evaluation(folder: Path, k: int, rng: random.Random) -> None:
    """One model on one benchmark: samples.jsonl and scores.json."""
    folder.mkdir(parents=True)
    questions = []
    with (folder / "samples.jsonl").open("w", encoding="utf-8") as handle:
        for question in range(QUESTIONS):
            rate = rng.random()
            verdicts = [rng.random() < rate for _ in range(k)]
            for number, correct in enumerate(verdicts):
                row = {
                    "id": f"q{question}",
                    "sample": number,
                    "response": f"<think>\n{STEPS}</think>\n<answer>{question if correct else -1}</answer>",
                    "answer": str(question if correct else -1),
                    "correct": correct,
                    "status": "correct" if correct else "wrong",
                    "detail": "",
                    "finish_reason": "stop",
                    "tokens": TOKENS,
                    "seconds": 0.1,
                }
                handle.write(json.dumps(row) + "\n")
            right = sum(verdicts)
            votes = (Vote(str(question), right, True), Vote("-1", k - right, False))
            kept = tuple(vote for vote in votes if vote.count)
            questions.append(
                QuestionStats(
                    f"q{question}", k, right, kept, tokens=k * TOKENS, tokens_correct=right * TOKENS
                )
            )
    Scores("made-up", tuple(questions), "none needed").write(folder)


def measure(samples: int, models: int, folder: Path) -> dict[str, float]:
    """The figures of one report, in the units of ``GOALS``."""
    k = samples // (models * QUESTIONS)
    for number in range(models):
        write_evaluation(folder / f"model-{number}" / "made-up", k, random.Random(number))
    page = folder / "report.html"
    command = [sys.executable, "-m", "harness.cli", "report", "--out", str(page)]
    began = time.perf_counter()
    subprocess.run([*command, *(str(folder / f"model-{i}") for i in range(models))], check=True)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return {
        "samples": models * QUESTIONS * k,
        "seconds": round(seconds, 2),
        "peak_gib": round(peak, 3),
        "page_mb": round(page.stat().st_size / 1e6, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="where samples are written (default: a temporary folder)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.samples < options.models * QUESTIONS:
        parser.error(
            f"--samples must be at least {options.models * QUESTIONS}: a sample per question and model"
        )
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = measure(options.samples, options.models, Path(folder))
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['samples']:,.0f} samples of {options.models} models")
    for name, goal in GOALS.items():
        print(f"{name:>9} {found[name]:>8g}   goal: at most {goal:g}")


if __name__ == "__main__":
    main()
