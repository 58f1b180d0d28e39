"""GPQA Diamond (Rein et al., 2023): 198 graduate-level science questions with four options.

Upstream lists the right option first. The order shown is drawn from a hash of the question's id and the
sample's number: it is the same in every run, the letters are balanced, and a model that prefers a letter
gains nothing by it over several samples. Recorded responses (``harness score``) answer the order of sample 0.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

from evals.task import Question, Task
from evals.tasks.choices import lettered
from evals.tasks.data import DataFile, read

_OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")

FILES = (
    DataFile(
        name="gpqa_diamond",
        repo="Idavidrein/gpqa",
        config="gpqa_diamond",
        revision="633f5ee89ab8ad4522a9f850766b73f62147ffdd",
        split="train",
        columns=("Record ID", "Question", *_OPTIONS),
        count=198,
        gated=True,
    ),
)


def arrange(row: dict[str, Any]) -> Question:
    """The question of a row, its options in the order of sample 0.

    ``info["options"]`` holds the options' texts in the order shown: A is the first.
    """
    options = tuple(str(row[column]).strip() for column in _OPTIONS)
    info = {"stem": str(row["Question"]).strip(), "subject": row.get("High-level domain", "")}
    return _shown(str(row["Record ID"]), options, 0, info, 0)


def reorder(question: Question, sample: int) -> Question:
    """The question with its options in the order of this sample."""
    if sample == 0:
        return question
    right = "ABCD".index(question.gold)
    return _shown(question.id, question.info["options"], right, question.info, sample)


def _shown(key: str, options: Sequence[str], right: int, info: Mapping[str, Any], seed: int) -> Question:
    order = list(range(len(options)))
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    random.Random(int.from_bytes(digest, "big")).shuffle(order)
    shown = tuple(options[index] for index in order)
    return Question(
        id=key,
        text=lettered(info["stem"], shown),
        gold="ABCD"[order.index(right)],
        info={**info, "options": shown},
    )


def _load(split: str) -> list[Question]:
    return [arrange(row) for row in read(FILES[0])]


TASK = Task(
    name="gpqa_diamond",
    title="GPQA Diamond",
    grader="choice",
    splits=("test",),
    benchmark="test",
    load=_load,
    source=FILES[0].source,
    samples=4,
    variant=reorder,
)
