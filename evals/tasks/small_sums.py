"""small-sums: additions of two numbers below 20, which a model of a hundred million parameters half knows."""

from __future__ import annotations

import random
from functools import cache
from itertools import combinations_with_replacement

from evals.task import Question, Task, TaskError

BELOW = 20
LEAST = {"test": 100, "dev": 40}
"""How many questions a split takes at least, in this order; the rest is "train"."""


def questions(split: str) -> list[Question]:
    """The questions of ``split``; 3 + 12 and 12 + 3 are in the same one.

    Raises:
        TaskError: a split that the task does not have.
    """
    found = _splits()
    if split not in found:
        raise TaskError(f"small-sums has no split {split!r}; it has {', '.join(TASK.splits)}")
    return found[split]


@cache
def _splits() -> dict[str, list[Question]]:
    pairs = list(combinations_with_replacement(range(BELOW), 2))
    random.Random("sums").shuffle(pairs)
    found: dict[str, list[Question]] = {split: [] for split in (*LEAST, "train")}
    for a, b in pairs:
        split = next((name for name, least in LEAST.items() if len(found[name]) < least), "train")
        for left, right in dict.fromkeys([(a, b), (b, a)]):
            name = f"{split}/{len(found[split])}"
            found[split].append(Question(id=name, text=f"What is {left} + {right}?", gold=str(left + right)))
    return found


TASK = Task(
    name="small-sums",
    title="Sums below 20",
    grader="integer",
    splits=("train", "dev", "test"),
    benchmark="test",
    load=questions,
    source="generated",
    samples=4,
)
