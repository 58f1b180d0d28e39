"""Grades programs by running them on tests, isolated (``evals.sandbox``).

``Question.info`` says how:

* ``{"style": "function", "prompt", "entry_point", "setup", "tests"}`` and optionally ``"reference"``: the
  tests are Python source with asserts that call the entry point, by its name or as ``candidate``. They run
  in a process of their own; the program answers calls from another one and never holds a test, an expected
  value or the verdict. ``reference`` is trusted code whose names the tests use.
* ``{"style": "stdin", "cases": [{"input", "output"}, …]}``: the program is run on each input; what it
  prints is compared with the expected output here, in the parent. ``"preamble"`` is Python source (imports)
  put before a Python program, ``"languages"`` which languages it may be in, ``"any_exit"`` whether it may
  leave by ``sys.exit`` with any code.

Either may set ``"seconds"`` and ``"memory_mib"``, limits of one run (tests are one run, a script has one for
each input), and tests ``"loading"``, the seconds until the program is there. A question without a single test
is an error of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from evals.base.closing import Closing
from evals.graders.base import Response, Verdict
from evals.graders.code_extract import extract_function, extract_script, with_preamble
from evals.sandbox import Exam, Limits, Outcome, Program, Sandbox, Script
from evals.sandbox.programs import Language
from evals.task import Question, TaskError

DEFAULT_LIMITS = Limits()
LIMITS = ("seconds", "memory_mib", "loading")
BATCH = 64  # programs in the sandbox's queue
LANGUAGES: tuple[Language, ...] = ("python", "c++")


class CodeGrader(Closing):
    """The grader of code tasks; holds a sandbox with ``workers`` cells until it is left.

    The same program for the same question is run once however often it occurs in a call. Where no isolation
    works on this machine every verdict is "grader_error", and its detail says what to install.
    """

    def __init__(self, workers: int | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._sandbox = Sandbox(workers)

    @property
    def isolation(self) -> str:
        """The sandbox's level, such as "bubblewrap+seccomp"; "none" where nothing can be run."""
        return self._sandbox.isolation

    def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
        """One verdict per item, in order: correct if every test passed."""
        verdicts: dict[int, Verdict] = {}
        for numbers in _batches(items):
            prepared = {number: _prepare(*items[number], self._limits) for number in numbers}
            ready = {number: one for number, one in prepared.items() if isinstance(one, _Ready)}
            programs = list(dict.fromkeys(one.program for one in ready.values()))
            outcomes = dict(zip(programs, self._sandbox.run_many(programs), strict=True))
            verdicts |= {number: one for number, one in prepared.items() if isinstance(one, Verdict)}
            verdicts |= {n: _verdict(one.text, outcomes[one.program]) for n, one in ready.items()}
        return [verdicts[number] for number in range(len(items))]

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """None throughout: programs do not vote."""
        return [None] * len(answers)

    def close(self) -> None:
        """Ends the sandbox."""
        self._sandbox.close()


def _batches(items: Sequence[tuple[Question, Response]]) -> Iterator[list[int]]:
    """The places of the items, those of a question together, some ``BATCH`` or a whole question at a time.

    The tests of a batch's questions are in memory at once, and a question's can be a hundred MiB.
    """
    by_question: dict[str, list[int]] = {}
    for number, (question, _) in enumerate(items):
        by_question.setdefault(question.id, []).append(number)
    batch: list[int] = []
    for numbers in by_question.values():
        batch += numbers
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def same_output(expected: str, printed: str) -> bool:
    """Whether two outputs agree, by LiveCodeBench's rules.

    Blanks and blank lines at both ends do not count, nor do blanks at the ends of lines. Each line must be
    equal, or both must be nothing but numbers and equal as such (1.0 is 1, with no tolerance).
    """
    wanted, got = _lines(expected), _lines(printed)
    return len(wanted) == len(got) and all(map(_same_line, wanted, got))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(wanted: str, got: str) -> bool:
    if wanted == got:
        return True
    try:
        return list(map(Decimal, wanted.split())) == list(map(Decimal, got.split()))
    except InvalidOperation:  # a word; or a NaN that may not even be compared
        return False


@dataclass(frozen=True)
class _Ready:
    """A program to be run, and its text as the response has it."""

    text: str
    program: Program


@dataclass(frozen=True)
class _Expected:
    """Accepts a script's outputs; a class, so that equal programs are equal and run once."""

    outputs: tuple[str, ...]

    def __call__(self, number: int, output: str) -> bool:
        return same_output(self.outputs[number], output)


def _prepare(question: Question, response: Response, limits: Limits) -> _Ready | Verdict:
    styles = {"function": _exam, "stdin": _script}
    style = question.info.get("style")
    if style not in styles:
        return Verdict("grader_error", None, f"question {question.id}: info['style'] is {style!r}")
    try:
        own = {key: question.info[key] for key in LIMITS if key in question.info}
        ready = styles[style](question.info, response, replace(limits, **own))
    except KeyError as error:
        return Verdict("grader_error", None, f"question {question.id}: info has no {error}")
    except TaskError as error:  # tests that are read when they are needed, and cannot be; or there are none
        return Verdict("grader_error", None, f"question {question.id}: {error}")
    return ready or Verdict("unparsed", None, "no program in the response")


def _exam(info: Mapping[str, Any], response: Response, limits: Limits) -> _Ready | None:
    entry_point, tests = info["entry_point"], info["tests"]
    found = extract_function(
        response.text, entry_point, info.get("prompt", ""), response.truncated, response.unclosed_answers
    )
    if found is None:
        return None
    setup, reference = info.get("setup", ""), info.get("reference", "")
    return _Ready(found.text, Exam(found.sources, entry_point, tests, setup, reference, limits))


def _script(info: Mapping[str, Any], response: Response, limits: Limits) -> _Ready | None:
    inputs = tuple(case["input"] for case in info["cases"])
    accept = _Expected(tuple(case["output"] for case in info["cases"]))
    if not inputs:
        raise TaskError("it has no tests")
    found = extract_script(
        response.text, response.truncated, info.get("languages", LANGUAGES), response.unclosed_answers
    )
    if found is None:
        return None
    preamble = info.get("preamble", "") if found.language == "python" else ""
    source, *also = [with_preamble(preamble, source) for source in found.sources]
    script = Script(
        source,
        inputs,
        accept,
        found.language,
        limits,
        also=tuple(also),
        prose_follows=found.prose_follows,
        any_exit=info.get("any_exit", False),
    )
    return _Ready(found.text, script)


def _verdict(text: str, outcome: Outcome) -> Verdict:
    if outcome.status == "passed":
        return Verdict("correct", text)
    if outcome.status == "sandbox_error":
        return Verdict("grader_error", text, outcome.detail)
    return Verdict("wrong", text, f"{outcome.status}: {outcome.detail}".rstrip(": "))
