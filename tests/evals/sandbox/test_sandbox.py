"""What honest and plainly wrong programs come to, for exams and scripts, in both languages."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from evals.sandbox import Exam, Limits, Sandbox, Script

LIMITS = Limits(seconds=20.0)
DATACLASS = "from dataclasses import dataclass\n@dataclass\nclass D:\n    a: 'D'\ndef f(x): return D(x).a"
SQUARE = "def f(x):\n    return x * x\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(2) as sandbox:
        if sandbox.isolation == "none":
            pytest.skip("no isolation works on this machine")
        yield sandbox


def _exam(sandbox: Sandbox, source: str | tuple[str, ...], tests: str, **more: str) -> tuple[str, str]:
    sources = (source,) if isinstance(source, str) else source
    outcome = sandbox.run_many([Exam(sources, "f", tests, limits=LIMITS, **more)])[0]
    return outcome.status, outcome.detail


def _script(sandbox: Sandbox, source: str, *inputs: str, **more: str) -> tuple[str, tuple[str, ...]]:
    outcome = sandbox.run_many([Script(source, inputs or ("",), limits=LIMITS, **more)])[0]  # type: ignore[arg-type]
    return outcome.status, outcome.outputs


# --- exams ---


@pytest.mark.parametrize(
    ("source", "tests"),
    [
        (SQUARE, "assert f(3) == 9\nassert candidate(-2) == 4"),
        ("def f(*a, **k): return a, k", "assert f(1, b=[2.5]) == ((1,), {'b': [2.5]})"),
        ("f = lambda s: set(s)", "assert f('aba') == {'a', 'b'}"),
        ("def f(x):\n    for i in range(x): yield i", "assert list(f(3)) == [0, 1, 2]"),
        ("def f(x): raise KeyError(x)", "try:\n    f(1)\n    assert False\nexcept KeyError:\n    pass"),
        ("class E(Exception): pass\ndef f(x): raise E", "try:\n    f(1)\nexcept Exception:\n    pass"),
        ("def f(t): return isinstance(t, type)", "assert f(int)"),
        ("import typing\nclass P(typing.NamedTuple): a: int\ndef f(x): return P(x)", "assert f(1) == (1,)"),
        ("class N:\n    def __init__(self, v): self.v = v\ndef f(n): return n.next.v", "assert f(root) == 2"),
        ("print('loading')\nimport sys\nsys.stderr.write('x')\n" + SQUARE, "assert f(3) == 9"),
        ("def f(x): return [x] * 200000", "assert len(f(1)) == 200000"),
        ("def f(x): return x + 1", "assert f(10**400) == 10**400 + 1"),
        (DATACLASS, "assert f(1) == 1"),
    ],
)  # fmt: skip
def test_right_programs_pass(sandbox: Sandbox, source: str, tests: str) -> None:
    setup = "root = N(1)\nroot.next = N(2)" if "root" in tests else ""
    assert _exam(sandbox, source, tests, setup=setup) == ("passed", "")


@pytest.mark.parametrize(
    ("source", "tests", "status", "detail"),
    [
        (SQUARE, "assert f(3) == 9\nassert f(2) == 5", "failed", "test: assert f(2) == 5; AssertionError"),
        (SQUARE, "x = f(2)\ndef check():\n    assert x == 5\ncheck()", "failed", "test: assert x == 5"),
        ("def f(x): return 1 / 0", "assert f(3) == 9", "failed", "ZeroDivisionError: division by zero"),
        ("def g(x): return 1", "assert f(3) == 9", "failed", "NameError: the program does not define f"),
        ("def f(x) return 1", "assert f(3) == 9", "failed", "SyntaxError"),
        ("raise ValueError('no')\n" + SQUARE, "assert f(3) == 9", "failed", "ValueError: no"),
        (
            "class O: pass\ndef f(x): return O()",
            "assert f(3)",
            "failed",
            "returned a O, which is not a plain value",
        ),
        ("def f(x): return [0] * 10**12", "assert f(3) == 9", "memory", "MemoryError"),
        ("import os\ndef f(x): os.abort()", "assert f(3) == 9", "crashed", "the program ended"),
    ],
)
def test_wrong_programs_fail_and_say_why(
    sandbox: Sandbox, source: str, tests: str, status: str, detail: str
) -> None:
    got = _exam(sandbox, source, tests)
    assert got[0] == status
    assert detail in got[1]


@pytest.mark.parametrize(
    ("tests", "detail"),
    [
        ("x = 1", "never call"),
        ("assert f(lambda: 1)", "cannot cross"),
        ("assert f(1) ==", "own code fails"),
    ],
)
def test_faulty_tests_are_not_the_programs_fault(sandbox: Sandbox, tests: str, detail: str) -> None:
    status, said = _exam(sandbox, SQUARE, tests)
    assert status == "sandbox_error"
    assert detail in said


def test_tests_take_their_names_from_trusted_code_before_the_program(sandbox: Sandbox) -> None:
    cheat = "import math\nmath.isclose = lambda *a: True\ndef helper(x): return 0\ndef f(x): return 0"
    reference = "def helper(x):\n    return x * x\ndef f(x):\n    return helper(x)\n"
    for tests in (
        "assert candidate(3) == helper(3)",
        "assert candidate(3) == f(3)",
        "assert math.isclose(candidate(3), 9)",
    ):
        assert _exam(sandbox, cheat, tests, reference=reference)[0] == "failed"
        assert _exam(sandbox, reference, tests, reference=reference)[0] == "passed"


def test_a_method_is_called_on_an_object_that_stays_with_the_program(sandbox: Sandbox) -> None:
    source = "class Solution:\n    def twice(self, x: int) -> int:\n        return 2 * x\n"
    exams = [Exam((source,), "Solution", f"assert Solution().twice(2) == {n}", limits=LIMITS) for n in (4, 5)]
    assert [outcome.status for outcome in sandbox.run_many(exams)] == ["passed", "failed"]


def test_a_message_that_no_file_can_hold_is_mended(sandbox: Sandbox) -> None:
    detail = _exam(sandbox, "def f(x): raise ValueError('\\ud800')", "f(1)")[1]
    assert detail == "test: f(1); ValueError: ?"


def test_the_first_reading_that_compiles_and_defines_the_function_counts(sandbox: Sandbox) -> None:
    prose = "Here is the function:\n" + SQUARE + "\nIt squares x, doesn't it?\n"
    assert _exam(sandbox, (prose, SQUARE), "assert f(3) == 9")[0] == "passed"
    assert (
        _exam(sandbox, SQUARE + "\nIt squares x, doesn't it?\nAnd that's all (\n", "assert f(3) == 9")[0]
        == "passed"
    )
    assert _exam(sandbox, ("import math\nno", "x = 1\n" + SQUARE), "assert f(3) == 9")[0] == "passed"


def test_randomness_is_the_same_in_every_run(sandbox: Sandbox) -> None:
    source = "import random\nprint(random.random(), hash('a'))"
    first, second = sandbox.run_many([Script(source, ("",), limits=LIMITS)] * 2)
    assert first.outputs == second.outputs


def test_programs_and_tests_do_not_inherit_our_imports_from_the_future(sandbox: Sandbox) -> None:
    # Without annotations as strings a program that forgot an import fails, as it does anywhere else.
    if sys.version_info >= (3, 14):
        pytest.skip("annotations are lazy there")
    assert "NameError" in _exam(sandbox, "def f(x: List[int]): return x", "assert f(1) == 1")[1]
    assert _script(sandbox, "def f(x: List[int]): return x")[0] == "crashed"
    future = "from __future__ import annotations\ndef f(x: List[int]): return x"
    assert _exam(sandbox, future, "assert f(1) == 1") == ("passed", "")


# --- scripts ---


def test_a_script_is_run_once_for_every_input_from_scratch(sandbox: Sandbox) -> None:
    source = "import os\nopen('seen', 'a').write('x')\nprint(int(input()) * 2, os.path.getsize('seen'))"
    assert _script(sandbox, source, "1\n", "2\n") == ("passed", ("2 1\n", "4 1\n"))


def test_a_script_ends_at_the_first_output_that_is_not_accepted(sandbox: Sandbox) -> None:
    script = Script("print(input())", ("a", "b", "c"), accept=lambda i, output: i == 0, limits=LIMITS)
    outcome = sandbox.run_many([script])[0]
    assert (outcome.status, outcome.detail, outcome.outputs) == (
        "failed",
        "input 2: wrong output",
        ("a\n", "b\n"),
    )


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("import sys\nsys.exit()", "passed"),
        ("exit(0)", "passed"),
        ("import sys\nsys.exit(3)", "crashed"),
        ("import sys\nsys.exit('bad')", "crashed"),
        ("1 / 0", "crashed"),
        ("if __name__ == '__main__':\n    print(1)", "passed"),
        ("import threading\nthreading.Thread(target=print).start()", "passed"),
        ("import sys\nsys.setrecursionlimit(10**6)\ndef g(n): return n and g(n - 1)\ng(10**4)", "passed"),
        ("[0] * 10**12", "memory"),
    ],
)
def test_ends_of_scripts(sandbox: Sandbox, source: str, status: str) -> None:
    assert _script(sandbox, source)[0] == status


def test_a_large_input_and_output_pass_through(sandbox: Sandbox) -> None:
    text = "x" * 3_000_000
    assert _script(sandbox, "print(input())", text) == ("passed", (text + "\n",))


def test_leaving_by_sys_exit_may_be_as_good_as_any_end(sandbox: Sandbox) -> None:
    for source, status in (("print(1)\nraise SystemExit(3)", "passed"), ("print(1)\n1 / 0", "crashed")):
        script = Script(source, ("",), limits=LIMITS, any_exit=True)
        assert sandbox.run_many([script])[0].status == status


def test_a_script_has_further_readings_where_it_does_not_compile(sandbox: Sandbox) -> None:
    prose = "It prints one.\nprint(1)"
    assert _script(sandbox, prose)[0] == "crashed"
    assert _script(sandbox, prose, also=("print(1)",)) == ("passed", ("1\n",))  # type: ignore[arg-type]
    behind = "print(1)\n\nThat's it.\n"
    assert _script(sandbox, behind)[0] == "crashed"
    assert _script(sandbox, behind, prose_follows=True) == ("passed", ("1\n",))  # type: ignore[arg-type]


# --- C++ ---

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not installed")


@needs_compiler
@pytest.mark.slow
def test_cpp_programs_are_compiled_once_and_run(sandbox: Sandbox) -> None:
    if not sandbox.isolation.startswith("bubblewrap"):
        pytest.skip("C++ needs bubblewrap")
    double = '#include <cstdio>\nint main() { int a; scanf("%d", &a); printf("%d\\n", 2 * a); }'
    assert _script(sandbox, double, "21", "-4", language="c++") == ("passed", ("42\n", "-8\n"))
    assert _script(sandbox, "int main() { return x; }", language="c++")[0] == "compile_error"
    assert _script(sandbox, "int main() { return *(int*)0; }", language="c++")[0] == "crashed"
    greedy = "#include <vector>\nint main() { std::vector<int> v; for (;;) v.push_back(1); }"
    assert _script(sandbox, greedy, language="c++")[0] == "memory"
    hostile = (
        "#include <cstdio>\n#include <unistd.h>\n#include <sys/socket.h>\n#include <fcntl.h>\n"
        'int main() { printf("%d", fork() > 0 || socket(2, 1, 0) >= 0 || kill(-1, 0) == 0'
        ' || open("/etc/passwd", 0) >= 0); }'
    ).replace("#include <fcntl.h>", "#include <fcntl.h>\n#include <signal.h>")
    assert _script(sandbox, hostile, language="c++") == ("passed", ("0",))


# --- the sandbox itself ---


def test_outcomes_are_in_order_and_a_sandbox_can_be_used_again(sandbox: Sandbox) -> None:
    for _ in range(2):
        outcomes = sandbox.run_many([Script(f"print({n})", ("",), limits=LIMITS) for n in range(20)])
        assert [outcome.outputs for outcome in outcomes] == [(f"{n}\n",) for n in range(20)]


def test_a_cell_that_breaks_down_is_replaced(sandbox: Sandbox) -> None:
    script = Script("print(1)", ("",), limits=LIMITS)
    sandbox.run_many([script] * 4)
    for process in psutil.Process().children():
        if process.name() == "bwrap":
            process.kill()
            process.wait()
    assert [outcome.status for outcome in sandbox.run_many([script])] == [
        "passed"
    ]  # not in the other, dead too
    assert [outcome.status for outcome in sandbox.run_many([script] * 4)] == ["passed"] * 4


def test_nothing_is_left_open(sandbox: Sandbox) -> None:
    programs = [
        Exam((SQUARE,), "f", "assert f(2) == 4", limits=LIMITS),
        Script("print(1)", ("",), limits=LIMITS),
    ]
    sandbox.run_many(programs * 4)
    before = len(os.listdir("/proc/self/fd"))
    sandbox.run_many(programs * 20)
    assert len(os.listdir("/proc/self/fd")) == before


def test_programs_die_with_the_process_that_runs_them(sandbox: Sandbox) -> None:
    code = (
        "from evals.sandbox import *\n"
        "Sandbox(1).run_many([Script('while True: pass', ('',), limits=Limits(seconds=300))])"
    )
    runner = psutil.Popen([sys.executable, "-c", code])
    try:
        # bubblewrap, its process 1, the interpreter that waits, the program
        descendants = _until(lambda: runner.children(recursive=True), lambda found: len(found) >= 4)
    finally:
        runner.kill()
        runner.wait()
    assert not _until(lambda: [p for p in descendants if p.is_running()], lambda found: not found)


def _until(
    look: Callable[[], list[psutil.Process]], enough: Callable[[list[psutil.Process]], bool]
) -> list[psutil.Process]:
    deadline = time.monotonic() + 120
    while not enough(found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found
