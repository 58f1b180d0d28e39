"""HumanEval+ (Liu et al., 2023, EvalPlus): HumanEval's questions under some 80 times as many tests.

The columns are HumanEval's, the tests among them being EvalPlus's own assertions (see ``evalplus``).
"""

from __future__ import annotations

from dataclasses import replace

from evals.task import Question
from evals.tasks import evalplus, humaneval
from evals.tasks.data import DataFile, read

FILES = (
    DataFile(
        name="humaneval_plus",
        repo="evalplus/humanevalplus",
        revision="d32357cf319e50e9c8d8dab5ea876c72b0fd321b",
        split="test",
        columns=humaneval.FILES[0].columns,
        count=164,
    ),
)
SECONDS = 60.0  # for all of a question's tests: EvalPlus's are many


def _load(_split: str) -> list[Question]:
    questions = [humaneval.question({**row, "test": evalplus.mended(row["test"])}) for row in read(FILES[0])]
    return [replace(each, info={**each.info, "seconds": SECONDS}) for each in questions]


TASK = replace(
    humaneval.TASK,
    name="humaneval-plus",
    title="HumanEval+",
    load=_load,
    source=FILES[0].source,
)
