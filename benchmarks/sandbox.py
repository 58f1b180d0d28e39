"""Programs per second: this sandbox beside executors that isolate nothing, on the same programs.

    python benchmarks/sandbox.py [--rounds 3] [--workers N] [--json]

The programs are HumanEval's 164 canonical solutions (HARNESS_DATA or the hub), each run ``rounds`` times with
its tests. Three executors take turns, so that other load on the machine meets all alike:

* ``sandbox``: evals.sandbox, every program and its tests in fresh confined processes;
* ``multiprocessing``: what openai/human-eval does for each program: a ``Manager`` to hold the result, a
  ``Process`` that runs program and tests together under SIGALRM, from a pool of threads;
* ``fork``: the least that a process per program can cost: fork, exec, an exit code.

Processor time is that of this process and of every process of the run; unlike programs per second it does not
depend much on what else the machine does.

The last two run model-written code with the rights of the user who calls them; do not use them elsewhere.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

from evals.sandbox import Exam, Sandbox
from evals.tasks import data, humaneval

SECONDS = 6


def exams() -> list[Exam]:
    """One exam per canonical solution."""
    solutions = {row["task_id"]: row["canonical_solution"] for row in data.read(humaneval.FILES[0])}
    return [
        Exam(
            sources=(question.info["prompt"] + solutions[question.id],),
            entry_point=question.info["entry_point"],
            tests=question.info["tests"],
            reference=question.info["reference"],
        )
        for question in humaneval.TASK.load("test")
    ]


def in_one_process(exam: Exam) -> str:
    """Program and tests as the unsafe executors run them: one source."""
    tests = exam.tests.replace("\ncheck(candidate)", f"\ncheck({exam.entry_point})")
    return f"{exam.sources[0]}\n{tests}"


def _run_unsafe(code: str) -> bool:
    signal.setitimer(signal.ITIMER_REAL, SECONDS)  # SIGALRM's default ends the process
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            exec(code, {})
    except BaseException:
        return False
    return True


def _report_unsafe(code: str, result: Any) -> None:
    if _run_unsafe(code):
        result.append("passed")


def by_multiprocessing(codes: Sequence[str], workers: int) -> int:
    """How many pass; every program has a manager process and a process of its own."""
    context = multiprocessing.get_context("fork")

    def one(code: str) -> bool:
        with context.Manager() as manager:
            result = manager.list()
            process = context.Process(target=_report_unsafe, args=(code, result))
            process.start()
            process.join(SECONDS + 1)
            process.kill()
            return len(result) > 0

    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(one, codes))


def by_fork(codes: Sequence[str], workers: int) -> int:
    """How many pass; every program is a bare fork of this process."""
    waiting, running, passed = list(codes), 0, 0
    while waiting or running:
        if waiting and running < workers:
            code = waiting.pop()
            if os.fork() == 0:
                os._exit(0 if _run_unsafe(code) else 1)
            running += 1
        else:
            passed += os.wait()[1] == 0
            running -= 1
    return passed


def processor_seconds() -> float:
    """Processor time used so far: this process, its children that ended, the cells and what ran in them."""
    total = sum(os.times()[:4])
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    programs = exams()
    codes = [in_one_process(exam) for exam in programs]
    with Sandbox(options.workers) as sandbox:
        sandbox.run_many(programs[: options.workers])  # starts the cells
        executors: dict[str, Callable[[], int]] = {
            "sandbox": lambda: sum(o.status == "passed" for o in sandbox.run_many(programs)),
            "multiprocessing": lambda: by_multiprocessing(codes, options.workers),
            "fork": lambda: by_fork(codes, options.workers),
        }
        seconds = dict.fromkeys(executors, 0.0)
        processor = dict.fromkeys(executors, 0.0)
        passed = dict.fromkeys(executors, 0)
        for _ in range(options.rounds):
            for name, run in executors.items():
                started, used = time.monotonic(), processor_seconds()
                passed[name] += run()
                seconds[name] += time.monotonic() - started
                processor[name] += processor_seconds() - used
        isolation = sandbox.isolation
    runs = len(programs) * options.rounds
    rates = {name: runs / spent for name, spent in seconds.items()}
    result = {
        "isolation": isolation,
        "workers": options.workers,
        "runs": runs,
        "passed": passed,
        "programs_per_second": rates,
        "sandbox_over_multiprocessing": rates["sandbox"] / rates["multiprocessing"],
        "processor_ms_per_program": {name: 1000 * used / runs for name, used in processor.items()},
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{runs} runs on {options.workers} workers, isolation {isolation}")
    for name, rate in rates.items():
        print(
            f"{name:16} {rate:8.1f} programs/s {1000 * processor[name] / runs:8.1f} ms of processor time each"
        )
    print(f"sandbox over multiprocessing: {rates['sandbox'] / rates['multiprocessing']:.2f}")
    isolation_costs = 1000 * (processor["sandbox"] - processor["fork"]) / runs
    print(f"isolation costs {isolation_costs:.1f} ms of processor time a program, against a bare fork")


if __name__ == "__main__":
    main()
