"""MBPP+ (Liu et al., 2023, EvalPlus): 378 well-formed questions of MBPP under 35 times as many tests.

The question shows MBPP's three asserts; ``test`` holds EvalPlus's own assertions, which decide
(see ``evalplus``).
"""

from __future__ import annotations

from dataclasses import replace

from evals.task import Question
from evals.tasks import evalplus, mbpp
from evals.tasks.data import DataFile, Row, read

FILES = (
    DataFile(
        name="mbpp_plus",
        repo="evalplus/mbppplus",
        revision="b2d74c91837c3f2a20c1299ae98133cbe7cfa077",
        split="test",
        columns=("task_id", "prompt", "code", "test_list", "test"),
        count=378,
    ),
)
SECONDS = 60.0  # for all of a question's tests: EvalPlus's are many


def _load(_split: str) -> list[Question]:
    return [_question(row) for row in read(FILES[0])]


def _question(row: Row) -> Question:
    plain = mbpp.question({**row, "text": row["prompt"], "test_setup_code": ""})
    return replace(plain, info={**plain.info, "tests": evalplus.mended(row["test"]), "seconds": SECONDS})


TASK = replace(
    mbpp.TASK,
    name="mbpp-plus",
    title="MBPP+",
    splits=("test",),
    load=_load,
    source=FILES[0].source,
)
