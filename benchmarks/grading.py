r"""How fast 500 x 64 responses in mathematics are graded, beside math-verify called one by one.

    python benchmarks/grading.py [--questions 500] [--samples 64]

Golds are MATH-500's; each response is a recorded model's reasoning with a final box that holds the gold in
one of several spellings, or one of a few wrong answers (other problems' golds, or the gold changed). Needs
HARNESS_DATA with math500.jsonl and recorded/math_cot_100x8.jsonl. Prints one JSON line at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from evals.graders.base import Grader, Response, Verdict
from evals.graders.math.grader import MathGrader
from evals.graders.second_opinion import MathVerifyGrader, disagreements
from evals.task import Question
from evals.tasks import registry

Items = list[tuple[Question, Response]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--questions", type=int, default=500)
    arguments.add_argument("--samples", type=int, default=64)
    options = arguments.parse_args()

    items = make_items(options.questions, options.samples, seed=0)
    print(f"{len(items)} responses, {sum(len(r.text) for _, r in items) / len(items):.0f} characters each")
    verdicts, seconds, processor = timed(MathGrader, items)
    report("this project, 2 workers (their start included)", verdicts, seconds, processor)
    peer_verdicts, peer_seconds, peer_processor = timed(MathVerifyGrader, items)
    report("math-verify, one by one", peer_verdicts, peer_seconds, peer_processor)

    differing = disagreements(items, verdicts, peer_verdicts)
    for pair in sorted(
        {(row.question.gold, row.first.answer, row.first.status) for row in differing}, key=str
    ):
        print("  differs:", *pair, sep="  |  ")
    print(
        json.dumps(
            {
                "responses": len(items),
                "seconds": round(seconds, 2),
                "math_verify_seconds": round(peer_seconds, 2),
                "ratio": round(peer_seconds / seconds, 1),
                "processor_ratio": round(peer_processor / processor, 1),
                "disagreements": len(differing),
            }
        )
    )


def make_items(questions: int, samples: int, seed: int) -> Items:
    """``samples`` responses to each of the first ``questions`` problems of MATH-500."""
    generator = random.Random(seed)
    _, problems = registry.load_spec(f"math500[:{questions}]")
    reasoning = recorded_reasoning()
    items: Items = []
    for problem in problems:
        right = spellings(problem.gold)
        wrong = [generator.choice(problems).gold for _ in range(4)] + [
            f"{problem.gold}+1",
            f"-{problem.gold}",
        ]
        accuracy = generator.betavariate(0.8, 0.5)
        for _ in range(samples):
            pool = right if generator.random() < accuracy else wrong
            text = f"{generator.choice(reasoning)}\\boxed{{{generator.choice(pool)}}}."
            items.append((problem, Response(text)))
    return items


def spellings(gold: str) -> list[str]:
    """Ways in which models write an answer."""
    spaced = gold.replace(",", ", ").replace("+", " + ")
    return [
        gold,
        gold,
        gold,
        spaced,
        gold.replace("\\frac", "\\dfrac"),
        f"\\displaystyle {gold}",
    ]


def recorded_reasoning() -> list[str]:
    """What a real model wrote before its final box."""
    path = Path(os.environ["HARNESS_DATA"]) / "recorded" / "math_cot_100x8.jsonl"
    with path.open(encoding="utf-8") as handle:
        texts = [text for line in handle for text in json.loads(line)["code"]]
    return [text.rpartition("\\boxed")[0] for text in texts if "\\boxed" in text]


def timed(make: Callable[[], Grader], items: Items) -> tuple[list[Verdict], float, float]:
    """The verdicts, and the seconds they took: by the clock, and of processors (workers included)."""
    start, spent = time.perf_counter(), processor_seconds()
    with make() as grader:
        verdicts = grader.grade(items)
        seconds = time.perf_counter() - start
    return verdicts, seconds, processor_seconds() - spent


def processor_seconds() -> float:
    """Of this process and of the children it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def report(name: str, verdicts: list[Verdict], seconds: float, processor: float) -> None:
    share = sum(verdict.correct for verdict in verdicts) / len(verdicts)
    rate = len(verdicts) / seconds
    print(f"{name}: {seconds:.2f} s by the clock, {processor:.2f} s of processors;")
    print(f"    {rate:,.0f} responses a second, {share:.4f} of them correct", flush=True)


if __name__ == "__main__":
    if "HARNESS_DATA" not in os.environ:
        sys.exit("HARNESS_DATA must name the folder with math500.jsonl and recorded/math_cot_100x8.jsonl")
    main()
