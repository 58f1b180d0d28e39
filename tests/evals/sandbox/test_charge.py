"""Which time counts against a program's limit: what it computes and sleeps, not what a busy machine takes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from evals.sandbox import Exam, Limits, Outcome, Sandbox, Script
from evals.sandbox import charge as charge_module
from evals.sandbox.charge import Charge


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(2) as sandbox:
        if sandbox.isolation == "none":
            pytest.skip("no isolation works on this machine")
        yield sandbox


def test_each_test_may_have_its_own_seconds(sandbox: Sandbox) -> None:
    source = (
        "import time\ndef f(x):\n    end = time.process_time() + x\n    while time.process_time() < end: pass"
    )
    tests = "for x in {}:\n    begin_test(1)\n    f(x)"
    limits = Limits(seconds=30.0)
    exams = [Exam((source,), "f", tests.format(xs), limits=limits) for xs in ((0.6, 0.6, 0.6), (0.1, 3))]
    outcomes = sandbox.run_many(exams)
    assert [(outcome.status, outcome.detail) for outcome in outcomes] == [
        ("passed", ""),
        ("timeout", "not done within 1 s"),
    ]


BUSY = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\nprint(1)"
BURN = "while True: pass"


def test_waiting_for_a_busy_processor_is_not_charged(sandbox: Sandbox) -> None:
    limits = Limits(seconds=2.0)
    burners = [psutil.Popen([sys.executable, "-c", BURN]) for _ in range(6 * (os.cpu_count() or 1))]
    try:
        right, wrong = sandbox.run_many([Script(BUSY.format(n), ("",), limits=limits) for n in (1.0, 4.0)])
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    assert right.status == "passed"
    assert wrong.status == "timeout"
    assert 2.0 <= wrong.charged < 3.0


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.sleep(30)",
        "import threading\nthreading.Event().wait(30)",
        "import threading\nfor _ in range(8): threading.Thread(target=lambda: sum(iter(int, 1))).start()",
        "import os\nr, w = os.pipe()\nos.read(r, 1)",
    ],
)
def test_sleeping_is_charged_and_so_are_threads(sandbox: Sandbox, source: str) -> None:
    outcome = sandbox.run_many([Script(source, ("",), limits=Limits(seconds=1.0))])[0]
    assert outcome.status == "timeout"
    assert 1.0 <= outcome.charged < 2.0


def test_a_doubtful_timeout_is_tried_again_alone(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, int]] = []
    running = 0

    def run(_cell: object, script: Script) -> Outcome:
        nonlocal running
        running += 1
        time.sleep(0.05)
        tried.append((script.source, running))
        running -= 1
        first = [source for source, _ in tried].count(script.source) == 1
        doubtful = first and script.source in ("slow", "never")
        return Outcome("timeout" if doubtful or script.source == "never" else "passed", doubtful=doubtful)

    monkeypatch.setattr("evals.sandbox.sandbox.run_script", run)
    sources = ["slow", "a", "b", "never", "c"]
    outcomes = sandbox.run_many([Script(source, ("",)) for source in sources])
    assert [outcome.status for outcome in outcomes] == ["passed"] * 3 + ["timeout", "passed"]
    assert tried[len(sources) :] == [("slow", 1), ("never", 1)]


def test_without_a_word_from_the_kernel_the_wall_clock_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    charge = Charge(0.05, [])
    assert charge.left() > 0
    monkeypatch.setattr(charge_module, "_pid", lambda _: 0)
    blind = Charge(0.05, [0])
    time.sleep(0.06)
    assert blind.left() <= 0
    assert blind.doubtful()


@pytest.mark.parametrize(("used", "doubtful"), [(1.0, False), (0.95, False), (0.5, True)])
def test_a_timeout_of_what_computed_for_as_long_as_it_may_is_not_doubtful(
    monkeypatch: pytest.MonkeyPatch, used: float, doubtful: bool
) -> None:
    monkeypatch.setattr(charge_module._Process, "used", lambda _: used)
    monkeypatch.setattr(charge_module._Process, "waited", lambda _: 10.0)
    assert Charge(1.0, [0]).doubtful() is doubtful


def test_the_wall_clock_ends_what_is_never_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charge_module._Process, "used", lambda _: 0.0)
    monkeypatch.setattr(charge_module._Process, "waited", lambda _: None)
    monkeypatch.setattr(charge_module, "BACKSTOP", 0.01)
    charge = Charge(1.0, [0])
    assert charge.left() == 1.0
    time.sleep(0.03)
    assert charge.left() == 0.0
    assert charge.doubtful()
