"""Codeforces: contest problems with their official tests, solved by programs in C++ or Python.

The data are the test split of ``open-r1/codeforces``; other rows of that data set may lie in
HARNESS_DATA/codeforces.jsonl instead. Left out are problems that equality of outputs cannot grade: those that
are interactive, have a checker of their own, read files, or lack some of their official tests. A program in a
block that is marked as C++ is compiled by g++ in the sandbox; any other is Python. Time and memory limits are
the problem's own.
"""

from __future__ import annotations

from evals.task import Question, Task, TaskError
from evals.tasks.data import DataFile, Row, read

FILES = (
    DataFile(
        name="codeforces",
        repo="open-r1/codeforces",
        revision="fbe3f6e903ee854eec2e69e9d96d0306cde59baf",
        split="test",
        columns=(
            "id",
            "title",
            "description",
            "input_format",
            "output_format",
            "time_limit",
            "memory_limit",
            "official_tests",
        ),
        count=468,
    ),
)
ASKED = (
    "Write a program in C++17 or Python 3 that reads the input from standard input and prints the answer to "
    "standard output. Mark the code block with its language."
)
PYTHON_MEMORY_MIB = 512  # at least: the interpreter's own share


def _load(_split: str) -> list[Question]:
    return [_question(row) for row in read(FILES[0]) if _by_equality(row)]


def _by_equality(row: Row) -> bool:
    """Whether outputs that equal the official ones are all that makes a program right."""
    return (
        not row.get("interaction_format")
        and not row.get("generated_checker")
        and row.get("input_mode", "stdio") == "stdio"
        and row.get("official_tests_complete", True)
        and bool(row["official_tests"])
    )


def _question(row: Row) -> Question:
    try:
        cases = [{"input": case["input"], "output": case["output"]} for case in row["official_tests"]]
        seconds, memory = float(row["time_limit"]), int(float(row["memory_limit"]))
    except (KeyError, TypeError, ValueError) as error:
        where = f"codeforces, problem {row['id']}"
        raise TaskError(f"{where}: its tests or limits cannot be read: {error}") from None
    return Question(
        id=str(row["id"]),
        text=_text(row),
        info={
            "style": "stdin",
            "cases": cases,
            "seconds": seconds,
            "memory_mib": max(memory, PYTHON_MEMORY_MIB),
            "rating": row.get("rating"),
        },
    )


def _text(row: Row) -> str:
    examples = [
        f"Example input:\n{example['input']}\nExample output:\n{example['output']}"
        for example in row.get("examples") or []
    ]
    parts = [
        str(row["title"]),
        f"Time limit: {row['time_limit']} seconds. Memory limit: {row['memory_limit']} megabytes.",
        row["description"],
        f"Input: {row['input_format']}",
        f"Output: {row['output_format']}",
        *examples,
        f"Note: {row['note']}" if row.get("note") else "",
        ASKED,
    ]
    return "\n\n".join(part.strip() for part in parts if part and part.strip())


TASK = Task(
    name="codeforces",
    title="Codeforces",
    grader="code",
    splits=("test",),
    benchmark="test",
    load=_load,
    source=FILES[0].source,
    samples=8,
)
