"""LiveCodeBench, code generation (Jain et al., 2024): contest problems with the date of their contest.

The window of dates is part of the benchmark's name, both months included: ``livecodebench@2024-08..2025-01``
is the one of DeepSeek-R1's paper; plain ``livecodebench`` is every problem there is. A problem is graded on
its public and private tests, of which there are two kinds: programs that read standard input and print, and
a method of a class ``Solution``, as LeetCode has it. The prompt asks what the original asks, in words of our
own.

The rules are the original's (lcb_runner/evaluation/testing_util.py at 15808c7): the names of the usual
modules stand before a program; outputs are compared as ``evals.graders.code.same_output`` says; one
``Solution`` answers all tests, or a bare function in its stead; a tuple counts as a list; leaving by
``sys.exit`` is no failure; each test has six seconds. Where the original wraps a program in a function and
thereby breaks it (``global``, ``from __future__``, ``sys.stdin.buffer``, a main part that is not last), it is
run as a program here.

The data set's own loader is a script, which no current library runs; its rows are lines of files. They are
gigabytes, nearly all of it private tests: they must lie in HARNESS_DATA (`harness data fetch livecodebench`),
and a question's are read and unpacked when a response is graded.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import pickle
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from evals.task import Question, Task, TaskError
from evals.tasks.data import DataFile, Row, local_copy, placed_rows, row_at

COLUMNS = (
    "question_id",
    "question_content",
    "contest_date",
    "starter_code",
    "public_test_cases",
    "private_test_cases",
    "metadata",
)
FILES = (
    DataFile(
        name="livecodebench",
        repo="livecodebench/code_generation_lite",
        revision="0fe84c3912ea0c4d4a78037083943e8f0c4dd505",
        split="test",
        columns=COLUMNS,
        count=1055,
        paths=("test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl", "test5.jsonl", "test6.jsonl"),
    ),
)
SECONDS = 6.0  # a test, as the original
TESTS_LIMIT = (
    256 << 20
)  # bytes of one problem's unpacked tests: the largest of the hub's are some tens of MiB
STARRED = """
    string re datetime collections heapq bisect copy math random statistics itertools functools operator io
    sys json builtins typing
"""
"""The modules whose names a program finds, in the original's order: later ones win, and the built-ins over
all but typing, so that pow takes a modulus."""
IMPORTS = "".join(
    [
        *(f"from {module} import *\n" for module in STARRED.split()),
        "import string, re, datetime, collections, heapq, bisect, copy, math, random, statistics\n",
        "import itertools, functools, operator, io, sys, json\n",
        "sys.setrecursionlimit(50000)\n",
    ]
)
FUNCTIONAL_TESTS = f"""\
import json
tests = json.loads({{cases!r}})
solution = Solution() if tests else None
for arguments, expected in tests:
    begin_test({SECONDS})
    answer = getattr(solution, {{method!r}})(*arguments)
    assert (list(answer) if isinstance(answer, tuple) else answer) == expected, f"{{{{arguments!r:.200}}}}"
"""

_WINDOW = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))\.\.(\d{4}-(?:0[1-9]|1[0-2]))")


def windowed(window: str) -> Task:
    """The task of the problems from one month to another: ``windowed("2024-08..2025-01")``.

    Raises:
        TaskError: the window is malformed or ends before it begins.
    """
    match = _WINDOW.fullmatch(window)
    if match is None or match[1] > match[2]:
        raise TaskError(
            f"livecodebench@{window}: the window must be FIRST..LAST in months, for example 2024-08..2025-01"
        )
    first, last = match[1], match[2]
    return replace(
        TASK,
        name=f"livecodebench@{window}",
        title=f"LiveCodeBench {first} to {last}",
        load=lambda _split: _questions(lambda month: first <= month <= last),
    )


def _questions(wanted: Callable[[str], bool]) -> list[Question]:
    path = local_copy(FILES[0])
    return [
        _question(row, path, place)
        for place, row in placed_rows(path, COLUMNS)
        if wanted(row["contest_date"][:7])
    ]


def _question(row: Row, path: Path, place: int) -> Question:
    name = str(row["question_id"])
    method = _method(row)
    known = {"date": row["contest_date"], "difficulty": row.get("difficulty", "")}
    if method is None:
        known |= {"style": "stdin", "preamble": IMPORTS, "seconds": SECONDS}
        known |= {"languages": ("python",), "any_exit": True}
    else:
        prompt = IMPORTS + row["starter_code"]
        known |= {"style": "function", "prompt": prompt, "entry_point": "Solution", "setup": ""}
    known["tests_digest"] = _digest(row, known)
    return Question(
        id=name,
        text=_text(row["question_content"].strip(), row["starter_code"].rstrip()),
        info=Info(
            known, ("cases",) if method is None else ("tests", "seconds", "loading"), path, place, name
        ),
    )


def _digest(row: Row, known: Mapping[str, Any]) -> str:
    """Of everything that decides a verdict: what the tests are made from, without unpacking them, and how
    they are run."""
    digest = hashlib.blake2b(digest_size=16)
    for column in ("starter_code", "metadata", "public_test_cases", "private_test_cases"):
        digest.update(str(row[column]).encode("utf-8", "surrogatepass") + b"\0")
    digest.update(f"{sorted(known.items())}{FUNCTIONAL_TESTS}{SECONDS}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _method(row: Row) -> str | None:
    """The method of ``Solution`` that the tests call; None where a program reads and prints."""
    try:
        method: str | None = json.loads(row["metadata"]).get("func_name")
    except (ValueError, TypeError, AttributeError) as error:
        raise TaskError(_where(row["question_id"], error)) from None
    return method


def _where(name: str, error: Exception) -> str:
    return f"livecodebench, question {name}: its tests cannot be read: {error}"


class Info(Mapping[str, Any]):
    """What a grader needs of a question: what is ``known``, and tests that are in the file until asked for.

    Raises:
        TaskError: from a look-up, where the tests cannot be read.
    """

    def __init__(
        self, known: Mapping[str, Any], unread: tuple[str, ...], path: Path, place: int, name: str
    ) -> None:
        self._known = known
        self._unread = unread
        self._row = (path, place, name)

    def __getitem__(self, key: str) -> Any:
        return _tests(*self._row)[key] if key in self._unread else self._known[key]

    def __iter__(self) -> Iterator[str]:
        yield from (*self._known, *self._unread)

    def __len__(self) -> int:
        return len(self._known) + len(self._unread)


@lru_cache(maxsize=1)  # the responses to one question are graded one after another
def _tests(path: Path, place: int, name: str) -> dict[str, Any]:
    """The tests of the question whose row begins at ``place``, as the grader wants them."""
    row = row_at(path, place, COLUMNS)
    if str(row["question_id"]) != name:
        raise TaskError(f"{path} has changed since question {name} was read from it")
    method = _method(row)
    try:
        cases = [*json.loads(row["public_test_cases"]), *private_tests(row["private_test_cases"])]
        if not cases:
            raise TaskError(f"livecodebench, question {name}: it has no tests")
        return _stdin(cases) if method is None else _functional(cases, method)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaskError(_where(name, error)) from None


def _text(problem: str, starter: str) -> str:
    if starter:
        task = f"Solve the problem by completing this Python code.\n```python\n{starter}\n```"
    else:
        task = (
            "Solve the problem by a Python program that reads the input from standard input and prints the "
            "answer to standard output. Do not test it on the examples."
        )
    return f"{problem}\n\n{task}"


def _stdin(cases: list[dict[str, Any]]) -> dict[str, Any]:
    return {"cases": [{"input": case["input"], "output": case["output"]} for case in cases]}


def _functional(cases: list[dict[str, Any]], method: str) -> dict[str, Any]:
    decoded = [
        ([json.loads(line) for line in case["input"].strip().split("\n") if line], json.loads(case["output"]))
        for case in cases
    ]
    return {
        "tests": FUNCTIONAL_TESTS.format(cases=json.dumps(decoded), method=method),
        "seconds": SECONDS * (1 + len(cases)),  # for all; each test, and loading, has its own
        "loading": SECONDS,
    }


def private_tests(encoded: str) -> list[dict[str, Any]]:
    """The private tests of a row: JSON, or base64 of zlib of a pickled string of JSON.

    A pickle can run code when it is read; the reader here admits a string and refuses everything else.

    Raises:
        ValueError: the text is neither, or larger than 256 MiB.
    """
    if encoded.lstrip().startswith("["):
        found: list[dict[str, Any]] = json.loads(encoded)
        return found
    try:
        unpacker = zlib.decompressobj()
        packed = unpacker.decompress(base64.b64decode(encoded, validate=True), TESTS_LIMIT)
        if unpacker.unconsumed_tail:
            raise ValueError(f"the private tests take more than {TESTS_LIMIT >> 20} MiB")
        text = _StringOnly(io.BytesIO(packed)).load()
    except (binascii.Error, zlib.error, pickle.UnpicklingError, EOFError, IndexError, KeyError) as error:
        raise ValueError(f"the private tests are not encoded as the hub's are ({error})") from None
    if not isinstance(text, str):
        raise ValueError("the private tests are not encoded as the hub's are (no string)")
    found = json.loads(text)
    return found


class _StringOnly(pickle.Unpickler):
    """Reads built-in values alone: no class, function or persistent object is ever looked up."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError("it refers to something outside")


TASK = Task(
    name="livecodebench",
    title="LiveCodeBench",
    grader="code",
    splits=("test",),
    benchmark="test",
    load=lambda _split: _questions(lambda _month: True),
    source=FILES[0].source,
    samples=4,
)
