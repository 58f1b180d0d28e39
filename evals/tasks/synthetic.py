"""What the generated tasks share: splits that cannot overlap, and questions drawn without a download.

Which split a problem belongs to is a function of the problem alone (a hash of its text), so no seed and no
count can put one problem into two splits.
"""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache

from evals.task import Question, TaskError

SPLITS = ("train", "dev", "test")
Draw = Callable[[random.Random], Question]


def split_of(text: str) -> str:
    """Of all problems a tenth is "test", a tenth "dev", the rest "train"."""
    bucket = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % 10
    return {0: "test", 1: "dev"}.get(bucket, "train")


def lettered(steps: Iterable[str]) -> str:
    """``A) first step, B) second step``: letters that a solution can refer to."""
    return ", ".join(f"{letter}) {step}" for letter, step in zip(string.ascii_uppercase, steps, strict=False))


def questions(draw: Draw, split: str, counts: Mapping[str, int], name: str) -> list[Question]:
    """``counts[split]`` different questions of ``split``, always the same ones; ids are ``split/number``.

    Raises:
        TaskError: a split that the task does not have.
    """
    if split not in counts:
        raise TaskError(f"{name} has no split {split!r}; it has {', '.join(counts)}")
    return list(_drawn(draw, split, counts[split], name))


@cache
def _drawn(draw: Draw, split: str, count: int, name: str) -> tuple[Question, ...]:
    rng = random.Random(f"{name}/{split}")
    found: dict[str, Question] = {}
    while len(found) < count:
        question = draw(rng)
        if split_of(question.text) == split and question.text not in found:
            found[question.text] = replace(question, id=f"{split}/{len(found)}")
    return tuple(found.values())
