"""The pool: order, limits on time and memory, recovery, nothing left behind, nothing evaluated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from evals.graders.math.votes import Sort
from evals.graders.math.workers import Pair, Pool

EASY = [
    (Pair(r"\sqrt{12}", r"2\sqrt{3}"), "equal"),
    (Pair("x+1", "x+2"), "different"),
    (Pair("x+1", r"1+x"), "equal"),
    (Pair(r"\sqrt{2}", r"\frac{"), "different"),
    (Pair(r"\frac{", "5"), "gold unreadable"),
]
# Three integrals without a value in closed form: minutes of work.
SLOW = Pair("5", r"\int_0^1 \int_0^1 \int_0^1 \sqrt{x^2+y^2+z^2} dx dy dz")
TOWERS = [
    "9^{9^{9^{9}}}",
    "9^9^9^9",
    "(10^{10})!!!",
    "2^{100000000}",
    r"\binom{10^9}{5\cdot 10^8}",
    "10^{-10^{10}}",
    "(1/3)^{10^9}",
    r"\left(9^{9^{9}}\right)^{9}",
    "((9^9)^9)^{9^9}",
    r"e^{10^{10^{10}}}",
    "100000000!",
    "9**9**9**9",
]


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(workers=2, seconds=1.0) as made:
        yield made


def children() -> list[psutil.Process]:
    workers = []
    for process in psutil.Process().children(recursive=True):
        if any("graders.math.workers" in word for word in process.cmdline()):
            workers.append(process)
    return workers


def test_outcomes_come_in_order(pool: Pool) -> None:
    pairs = [pair for pair, _ in EASY] * 7
    assert pool.compare(pairs) == [outcome for _, outcome in EASY] * 7
    assert pool.compare([]) == []


@pytest.mark.timeout(240)
def test_a_hang_costs_only_itself(pool: Pool) -> None:
    pairs = [EASY[0][0], SLOW, *(pair for pair, _ in EASY), SLOW, EASY[2][0]]
    outcomes = pool.compare(pairs)
    stuck = [i for i, pair in enumerate(pairs) if pair == SLOW]
    assert all(outcomes[i] in ("timed out", "failed") for i in stuck)
    expected = ["equal", *(outcome for _, outcome in EASY), "equal"]
    assert [outcome for i, outcome in enumerate(outcomes) if i not in stuck] == expected


def test_a_tower_of_powers_is_decided_at_once(pool: Pool) -> None:
    pairs = [Pair("5", tower) for tower in TOWERS] + [Pair(r"\sqrt{2}", tower) for tower in TOWERS]
    pool.compare(pairs[:2])
    started = time.monotonic()
    assert pool.compare(pairs) == ["different"] * len(pairs)
    assert time.monotonic() - started < 0.5 * len(pairs)  # on a busy machine; milliseconds each
    as_golds = set(pool.compare([Pair(tower, "5") for tower in TOWERS]))
    assert as_golds <= {"gold unreadable", "different"}


def test_a_process_outlives_a_comparison_that_takes_too_long(pool: Pool) -> None:
    pool.compare([EASY[0][0]] * 4)
    before = {process.pid for process in children()}
    assert pool.compare([SLOW], seconds=0.2) == ["timed out"]
    assert pool.compare([EASY[0][0]]) == ["equal"]
    assert {process.pid for process in children()} == before


def test_golds_that_can_be_read_are_told_from_those_that_cannot(pool: Pool) -> None:
    can = ["5", r"\frac{1}{2}", "east", "(1,2)", "3:30 p.m.", r"x \equiv 3 \pmod 7"]
    cannot = [r"\frac{", "x+", r"(1, \frac{)", TOWERS[0]]
    assert pool.readable(can + cannot) == ["readable"] * len(can) + ["gold unreadable"] * len(cannot)


def test_sorts_come_in_order_and_what_takes_too_long_has_none(pool: Pool) -> None:
    leaves = [
        r"\sqrt{4}",
        TOWERS[0],
        "x+1",
        "ab",
        r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
        r"\frac{",
        r"-\sqrt{9}",
    ]
    found = pool.sorts(leaves)
    assert [sort and sort.kind for sort in found] == [
        *("number", None, "formula", "letters", "matrix", None, "number"),
    ]
    assert found[0] == Sort("number", 2)
    assert found[6] == Sort("number", -3)
    assert pool.sorts(leaves[2:3]) == found[2:3]  # the letter's number is the same in every process


def test_memory_is_limited() -> None:
    with Pool(workers=1, seconds=30.0, memory=600 << 20) as pool:
        assert pool.compare([Pair(r"\sqrt{2}", r"10^{10^{10}}+\pi"), EASY[0][0]])[1] == "equal"


def test_a_killed_process_is_replaced(pool: Pool) -> None:
    pool.compare([EASY[0][0]])
    for process in children():
        process.send_signal(signal.SIGKILL)
        process.wait()
    # What a dead process was given is lost at most once; the pool itself goes on.
    pool.compare([EASY[0][0]] * 2)
    assert pool.compare([EASY[0][0]] * 2) == ["equal", "equal"]


@pytest.mark.parametrize(("sign", "said"), [(signal.SIGVTALRM, "timed out"), (signal.SIGKILL, "failed")])
def test_what_ended_a_process_is_said(sign: signal.Signals, said: str) -> None:
    """The timer of its seconds ends a process that a signal handler cannot stop."""
    before = {process.pid for process in children()}
    with Pool(workers=1, seconds=120.0) as pool:
        pool.compare([EASY[0][0]])
        (process,) = (process for process in children() if process.pid not in before)
        ending = threading.Timer(0.5, lambda: process.send_signal(sign))
        ending.start()
        assert pool.compare([SLOW, EASY[0][0]]) == [said, "equal"]


def test_closing_leaves_no_process() -> None:
    before = {process.pid for process in children()}
    with Pool(workers=2) as pool:
        pool.compare([pair for pair, _ in EASY])
        started = {process.pid for process in children()} - before
        assert started
    assert not started & {process.pid for process in children()}


def test_no_process_is_started_before_one_is_needed() -> None:
    before = len(children())
    with Pool():
        assert len(children()) == before


def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    program = (
        "import os, psutil\n"
        "from evals.graders.math.workers import Pair, Pool\n"
        "pool = Pool(workers=1)\n"
        "pool.compare([Pair('x+1', '1+x')])\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        "os._exit(0)\n"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(root)}, cwd=tmp_path,
    )  # fmt: skip
    pid = int(done.stdout)
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_pool_that_cannot_start_says_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Pool() as pool:
        assert pool.compare([EASY[0][0]] * 3) == ["failed"] * 3


def test_what_takes_too_long_is_said_to_have_timed_out() -> None:
    slow = Pair(r"\sqrt{12}+\sqrt[3]{7}", r"2\sqrt{3}+7^{\frac{1}{3}}")
    with Pool(workers=1, seconds=0.001) as hurried:
        assert hurried.compare([slow]) == ["timed out"]
    with Pool(workers=1, seconds=30.0) as patient:
        assert patient.compare([slow]) == ["equal"]


def test_threads_may_share_a_pool(pool: Pool) -> None:
    results: list[list[str]] = []
    expected = [outcome for _, outcome in EASY]

    def work() -> None:
        results.append(list(pool.compare([pair for pair, _ in EASY])))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


@pytest.mark.parametrize(
    "payload",
    [
        "__import__('os').system('touch {mark}')",
        r"\operatorname{{__import__('os').system('touch {mark}')}}(1)",
        "f(__import__('os').system('touch {mark}'), 2)",
        r"\max(open('{mark}','w'), 1)",
        r"\gcd(__import__('pathlib').Path('{mark}').touch(), 4)",
        r"\text{{__import__('pathlib').Path('{mark}').touch()}}",
        "x.__class__.__base__.__subclasses__()",
        "(lambda: open('{mark}', 'w'))()",
    ],
)
def test_nothing_that_a_model_wrote_is_run(pool: Pool, tmp_path: Path, payload: str) -> None:
    mark = tmp_path / "mark"
    text = payload.format(mark=mark)
    pool.compare([Pair(r"\sqrt{2}", text), Pair(text, r"\sqrt{2}"), Pair(r"\max(1,x)", text)])
    assert not mark.exists()


def test_sympy_itself_reads_only_numbers_and_names_in_a_worker() -> None:
    program = (
        "import sympy\n"
        "from evals.graders.math import symbolic\n"
        "symbolic.forbid_evaluation()\n"
        "assert sympy.sympify('12') == 12 and sympy.sympify('0.5') == sympy.Rational(1, 2)\n"
        "for text in ('1+1', 'pi()', '__import__(\"os\")', 'x.y', '9**9'):\n"
        "    for read in (sympy.sympify, sympy.parsing.sympy_parser.parse_expr, sympy.parsing.parse_expr):\n"
        "        try:\n"
        "            read(text)\n"
        "        except Exception:\n"
        "            continue\n"
        "        raise SystemExit(f'{read} read {text}')\n"
    )
    root = Path(__file__).parents[4]
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": str(root)})


@pytest.mark.parametrize(("seconds", "processes"), [(0.0, 2), (1e6, 1)])
def test_a_second_process_starts_only_where_the_first_has_long_been_at_work(
    seconds: float, processes: int
) -> None:
    with Pool(workers=2) as pool:
        pool._alone_seconds = seconds
        pairs = [Pair("x+1", f"x+{number}") for number in range(20)]
        outcomes = pool.compare(pairs)
        assert len(pool._workers) == processes
    assert outcomes == ["equal" if number == 1 else "different" for number in range(20)]


def test_a_process_started_beforehand_is_the_one_that_compares() -> None:
    with Pool(workers=1) as pool:
        pool.start()
        pool.start()
        (started,) = pool._workers
        assert pool.compare([Pair("x+1", "1+x")]) == ["equal"]
        assert pool._workers == [started]
