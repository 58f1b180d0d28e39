"""MBPP (Austin et al., 2021): 974 short Python tasks stated in a sentence, each with three asserts.

Splits are the paper's, by task id: prompt 1-10, test 11-510, validation 511-600, train 601-974. The question
shows the three asserts, as the paper does, for they alone tell the function's name and its types.
"""

from __future__ import annotations

import re

from evals.task import Question, Task, TaskError
from evals.tasks.data import DataFile, Row, read

SPLITS = {
    "test": range(11, 511),
    "prompt": range(1, 11),
    "validation": range(511, 601),
    "train": range(601, 975),
}

_DEFINITION = re.compile(r"^def\s+(\w+)", re.MULTILINE)
_CALL = re.compile(r"(\w+)\s*\(")

FILES = (
    DataFile(
        name="mbpp",
        repo="google-research-datasets/mbpp",
        config="full",
        revision="4bb6404fdc6cacfda99d4ac4205087b89d32030c",
        split="prompt+test+validation+train",
        columns=("task_id", "text", "code", "test_list", "test_setup_code"),
        count=974,
        digest="045705c8c69fbcb024a983df5f15ff2f",
    ),
)


def _load(split: str) -> list[Question]:
    return [question(row) for row in read(FILES[0]) if int(row["task_id"]) in SPLITS[split]]


def question(row: Row) -> Question:
    """The question of a row with MBPP's columns."""
    asserts = "\n".join(row["test_list"])
    return Question(
        id=str(row["task_id"]),
        text=f"{row['text'].strip()} Your code should pass these tests:\n{asserts}",
        info={
            "style": "function",
            "prompt": "",
            "entry_point": _entry_point(row),
            "setup": row["test_setup_code"],
            "tests": asserts,
        },
    )


def _entry_point(row: Row) -> str:
    """The function under test: what the reference solution defines and its first assert calls."""
    defined = _DEFINITION.findall(row["code"])
    first = row["test_list"][0] if row["test_list"] else ""
    called = [name for name in _CALL.findall(first) if name in defined]
    if not called:
        raise TaskError(
            f"mbpp, task {row['task_id']}: its first test calls no function that its code defines"
        )
    return str(called[0])


TASK = Task(
    name="mbpp",
    title="MBPP",
    grader="code",
    splits=tuple(SPLITS),
    benchmark="test",
    load=_load,
    source=FILES[0].source,
)
