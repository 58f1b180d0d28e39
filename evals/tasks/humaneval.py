"""HumanEval (Chen et al., 2021): 164 Python functions described by their docstrings, graded by tests.

The tests take helper functions from the canonical solution, not from the program under test. For one question
(HumanEval/33) that is stricter than the original, whose tests compare the program with itself.
"""

from __future__ import annotations

from evals.task import Question, Task
from evals.tasks.data import DataFile, Row, read

FILES = (
    DataFile(
        name="humaneval",
        repo="openai/openai_humaneval",
        revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
        split="test",
        columns=("task_id", "prompt", "canonical_solution", "test", "entry_point"),
        count=164,
        digest="18e8a7708206648bf1000208d6931042",
    ),
)


def _load(split: str) -> list[Question]:
    return [question(row) for row in read(FILES[0])]


def question(row: Row) -> Question:
    """The question of a row with HumanEval's columns."""
    prompt = row["prompt"]
    return Question(
        id=row["task_id"],
        text=f"Complete this Python function; give the whole function.\n```python\n{prompt.rstrip()}\n```",
        info={
            "style": "function",
            "prompt": prompt,
            "entry_point": row["entry_point"],
            "setup": "",
            "tests": f"{row['test']}\ncheck(candidate)\n",
            "reference": prompt + row["canonical_solution"],
        },
    )


TASK = Task(
    name="humaneval",
    title="HumanEval",
    grader="code",
    splits=("test",),
    benchmark="test",
    load=_load,
    source=FILES[0].source,
)
