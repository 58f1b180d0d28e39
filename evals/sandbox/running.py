"""How a program is run in a cell: which children it takes, and what their ends mean."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

from evals.sandbox.cell import Cell, Order, Stream
from evals.sandbox.charge import Charge
from evals.sandbox.descriptors import Descriptors
from evals.sandbox.programs import Exam, Limits, Outcome, Script

TAIL = 2000  # bytes of standard error that are kept
VERDICT = 1 << 14  # bytes: more than a verdict ever has
COMPILE = Limits(seconds=60.0, memory_mib=2048, output_mib=64, files_mib=128)
COMPILER = "/usr/bin/g++"
NATIVE_STACK_MIB = 256  # on top of a native program's memory: its stack is set aside in full
TESTS_MEMORY_MIB = 2048


def run_exam(cell: Cell, exam: Exam) -> Outcome:
    """Runs the program in one child and its question's tests in another; the tests' child has the word."""
    questions = {
        "reference": exam.reference,
        "setup": exam.setup,
        "tests": exam.tests,
        "entry_point": exam.entry_point,
    }
    with Descriptors() as fds:
        null = fds.null()
        output, output_end = fds.pipe()
        verdict, verdict_end = fds.pipe()
        asked, ask = fds.pipe()
        answered, answer = fds.pipe()
        program = {"sources": exam.sources, "entry_point": exam.entry_point}
        program_job = fds.file(json.dumps(program).encode())
        tests_job = fds.file(json.dumps(questions).encode())
        tests_limits = replace(exam.limits, memory_mib=TESTS_MEMORY_MIB, files_mib=0)
        answering, examining = cell.spawn(
            Order("answer", [null, null, output_end, program_job, asked, answer], exam.limits),
            Order("examine", [null, null, null, tests_job, ask, answered, verdict_end], tests_limits),
            numpy="import numpy" in exam.tests,
        )
        fds.close(asked, ask, answered, answer)  # each side then sees the other's end
        charge = Charge(exam.limits.seconds, (examining.pidfd, answering.pidfd))
        if exam.limits.loading is not None:
            charge.stretch(exam.limits.loading)
        words = _Words(charge)
        stderr, said = Stream(output, TAIL, tail=True), Stream(verdict, VERDICT, hear=words.hear)
        ending = cell.watch(examining, [stderr, said], charge, exam.limits.output_mib << 20)
        stopped = _stopped(ending, exam.limits, charge)
        _, program_status = cell.end(examining, answering)
    outcome = stopped or _judged(words.verdict, program_status)
    return replace(outcome, stderr=stderr.text)


class _Words:
    """What the tests' child says, a line each: how many seconds the next test may take, then the verdict."""

    def __init__(self, charge: Charge) -> None:
        self._charge = charge
        self.verdict = b""

    def hear(self, line: bytes) -> bool:
        if not line.startswith(b"{"):
            self._charge.stretch(float(line))
            return False
        self.verdict = line
        return True


def _judged(message: bytes, program_status: int) -> Outcome:
    """What the verdict of the tests' child amounts to; "passed" is said nowhere else."""
    try:
        verdict = json.loads(message)
    except ValueError:
        return Outcome("crashed", "the tests' process ended without a verdict")
    detail = (
        verdict["detail"].encode("utf-8", "replace").decode()
    )  # lone surrogates could not be written to a file
    if verdict["status"] == "error":
        return Outcome("sandbox_error", detail)
    if verdict["status"] == "passed":
        return Outcome("passed")
    if verdict["raised"] == "MemoryError":
        return Outcome("memory", detail)
    if "the program ended" in detail:
        return Outcome("crashed", f"{detail} ({_end(program_status)})")
    return Outcome("failed", detail)


def run_script(cell: Cell, script: Script) -> Outcome:
    """Runs the program once per input, each time in a child of its own, until one is not accepted."""
    job = {
        "sources": [script.source, *script.also],
        "prose_follows": script.prose_follows,
        "any_exit": script.any_exit,
    }
    role, limits, code = "run-python", script.limits, json.dumps(job).encode()
    if script.language == "c++":
        compiled = _compile(cell, script.source.encode("utf-8", "surrogatepass"))
        if isinstance(compiled, Outcome):
            return compiled
        role, code = "run-native", compiled
        limits = replace(limits, memory_mib=limits.memory_mib + NATIVE_STACK_MIB)
    outputs: list[str] = []
    stderr = ""
    for number, given in enumerate(script.inputs):
        stopped, output, stderr = _run_once(cell, role, code, given, limits)
        outputs.append(output)
        if stopped is None and script.accept is not None and not script.accept(number, output):
            stopped = Outcome("failed", "wrong output")
        if stopped is not None:
            detail = f"input {number + 1}: {stopped.detail}"
            return replace(stopped, detail=detail, outputs=tuple(outputs), stderr=stderr)
    return Outcome("passed", outputs=tuple(outputs), stderr=stderr)


def _run_once(
    cell: Cell, role: str, code: bytes, given: str, limits: Limits
) -> tuple[Outcome | None, str, str]:
    """One run: how it was stopped (None: it ended well), its output, the end of its standard error."""
    with Descriptors() as fds:
        output, output_end = fds.pipe()
        errors, errors_end = fds.pipe()
        stdin = fds.file(given.encode("utf-8", "surrogatepass"))
        (child,) = cell.spawn(Order(role, [stdin, output_end, errors_end, fds.file(code)], limits))
        charge = Charge(limits.seconds, (child.pidfd,))
        stdout = Stream(output, limits.output_mib << 20)
        stderr = Stream(errors, TAIL, tail=True)
        ending = cell.watch(child, [stdout, stderr], charge, limits.output_mib << 20)
        stopped = _stopped(ending, limits, charge)
        (status,) = cell.end(child)
    if stopped is None and status != 0:
        last_line = (stderr.text.strip().splitlines() or [""])[-1][:200]
        memory = "MemoryError" in last_line or "bad_alloc" in stderr.text
        stopped = Outcome("memory" if memory else "crashed", f"{_end(status)} {last_line}".strip())
    return stopped, stdout.text, stderr.text


def _compile(cell: Cell, source: bytes) -> bytes | Outcome:
    """The program that g++ makes of ``source``, or why there is none."""
    if cell.confinement.mode == "landlock" or not os.path.exists(COMPILER):
        return Outcome("sandbox_error", "C++ programs need g++ and bubblewrap (apt install g++ bubblewrap)")
    with Descriptors() as fds:
        binary, binary_end = fds.pipe()
        errors, errors_end = fds.pipe()
        null = fds.null()
        order = Order("compile", [null, null, errors_end, fds.file(source), binary_end], COMPILE)
        (child,) = cell.spawn(order)
        charge = Charge(COMPILE.seconds, (child.pidfd,))
        program = Stream(binary, COMPILE.output_mib << 20)
        stderr = Stream(errors, TAIL)
        ending = cell.watch(child, [program, stderr], charge, COMPILE.output_mib << 20)
        stopped = _stopped(ending, COMPILE, charge)
        (status,) = cell.end(child)
    if stopped:
        return replace(stopped, status="compile_error", detail=f"the compiler: {stopped.detail}")
    if status != 0:
        errors_found = [line for line in stderr.text.splitlines() if "error" in line]
        return Outcome("compile_error", (errors_found or [_end(status)])[0][:300], stderr=stderr.text)
    return bytes(program.data)


def _stopped(ending: str, limits: Limits, charge: Charge) -> Outcome | None:
    if ending == "timeout":
        detail = f"not done within {charge.allowed:g} s"
        return Outcome("timeout", detail, doubtful=charge.doubtful(), charged=charge.seconds())
    if ending == "output_limit":
        return Outcome("output_limit", f"wrote more than {limits.output_mib} MiB")
    return None


def _end(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return signal.strsignal(number) or f"signal {number}"
    return f"exit status {os.WEXITSTATUS(status)}"
