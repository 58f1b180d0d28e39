"""Every level of isolation that this machine has works; without any, nothing is run."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace

import pytest

from evals.sandbox import Exam, Limits, Outcome, Program, Sandbox, Script, confinement, seccomp
from evals.sandbox import sandbox as sandbox_module
from evals.sandbox.cell import Cell, CellError
from evals.sandbox.confinement import Confinement
from evals.sandbox.running import run_exam, run_script
from tests.evals.sandbox import gallery

LIMITS = Limits(seconds=20.0)
LEVELS = ("bubblewrap+seccomp", "bubblewrap", "landlock+seccomp")
# Without a list of system calls a program has subprocesses and sockets, alone in its namespaces.
ALLOWED_WITHOUT_SECCOMP = {
    "fork", "shell", "subprocess", "reloaded_os", "exec_another_program", "local_network", "unix_sockets",
    "netlink", "kernel_interfaces", "shared_memory", "signal_everyone", "kill_everyone", "setuid_program",
    "new_user_namespace", "ptrace", "signals_sent_by_the_kernel",
}  # fmt: skip
# Under Landlock there is no /tmp of one's own, and the devices' folder has names to be seen.
DIFFERENT_UNDER_LANDLOCK = {
    "what_earlier_programs_left",
    "parent_process",
    "devices",
    "home_and_keys",
    "host_name",
}


def _candidate(level: str) -> Confinement:
    wanted = "bubblewrap+seccomp" if level == "bubblewrap" else level
    for candidate in confinement.candidates():
        if candidate.level == wanted:
            candidate = replace(
                candidate, level=level, filters={} if level == "bubblewrap" else candidate.filters
            )
            with contextlib.suppress(CellError):
                Cell(candidate).close()
                return candidate
    pytest.skip(f"{level} does not work on this machine")


def _run(candidate: Confinement, programs: list[Program]) -> list[Outcome]:
    with contextlib.closing(Cell(candidate)) as cell:
        return [run_script(cell, p) if isinstance(p, Script) else run_exam(cell, p) for p in programs]


@pytest.mark.parametrize("level", LEVELS)
def test_honest_programs_pass_at_every_level(level: str) -> None:
    exam = Exam(("def f(x): return x + 1",), "f", "assert f(1) == 2", limits=LIMITS)
    script = Script("print(input())", ("a",), limits=LIMITS)
    outcomes = _run(_candidate(level), [exam, script, replace(exam, tests="assert f(1) == 3")])
    assert [outcome.status for outcome in outcomes] == ["passed", "passed", "failed"]


@pytest.mark.parametrize("level", LEVELS[1:])
def test_weaker_levels_contain_what_they_say(level: str) -> None:
    other = ALLOWED_WITHOUT_SECCOMP if level == "bubblewrap" else DIFFERENT_UNDER_LANDLOCK
    probes = {name: source for name, source in gallery.PROBES.items() if name not in other}
    outcomes = _run(_candidate(level), [Script(source, ("",), limits=LIMITS) for source in probes.values()])
    reached = {
        name: outcome
        for name, outcome in zip(probes, outcomes, strict=True)
        if "contained" not in outcome.outputs[0]
    }
    assert not reached


def test_landlock_keeps_files_from_being_read_and_written() -> None:
    source = """
        for path in ("/etc/passwd", "/proc/self/environ", "/root", "/home", "/tmp"):
            try: print(path, open(path).read(9) if path[1] in "ep" else __import__("os").listdir(path))
            except OSError: pass
        try: open("/tmp/sandbox-escape-7c1f", "w")
        except OSError: print("closed")
    """
    outcome = _run(_candidate("landlock+seccomp"), [Script(gallery.dedent(source), ("",), limits=LIMITS)])[0]
    assert outcome.outputs == ("closed\n",), outcome
    assert not os.path.exists("/tmp/sandbox-escape-7c1f")


@pytest.mark.parametrize("level", LEVELS)
def test_numpy_is_there_at_every_level_and_nothing_beside_it(level: str) -> None:
    candidate = _candidate(level)
    if not candidate.numpy:
        pytest.skip(
            "the numpy of this process does not fit the interpreter of the sandbox, or is closed to it"
        )
    source = """
        import numpy as np
        a = np.arange(6.0).reshape(2, 3)
        print(np.linalg.det(a @ a.T).round(6))
        for name in ("torch", "pytest", "numpy.nothing"):
            try: __import__(name); print(name)
            except (ImportError, PermissionError): pass
        try: open(np.__file__, "a"); print("open")
        except OSError: print("closed")
    """
    (outcome,) = _run(candidate, [Script(gallery.dedent(source), ("",), limits=LIMITS)])
    assert outcome.outputs == ("54.0\nclosed\n",), outcome


def test_numpy_needs_an_interpreter_of_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    own = confinement._interpreters()
    monkeypatch.setattr(confinement, "_interpreters", lambda: [("/usr/bin/python2.7", "/usr")])
    assert {candidate.numpy for candidate in confinement.candidates()} == {()}
    monkeypatch.setattr(confinement, "_interpreters", lambda: own[-1:])  # the one that runs this test
    assert any(candidate.numpy for candidate in confinement.candidates())


def test_landlock_runs_no_cpp() -> None:
    outcome = _run(_candidate("landlock+seccomp"), [Script("int main() {}", ("",), language="c++")])[0]
    assert outcome.status == "sandbox_error"


def test_where_nothing_works_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(confinement, "candidates", lambda: iter(()))
    sandbox_module.available.cache_clear()
    try:
        with Sandbox(1) as sandbox:
            trace = f"{tmp_path}/ran"
            outcomes = sandbox.run_many([Script(f"open({trace!r}, 'w')", ("",))])
        assert sandbox.isolation == "none"
        assert outcomes[0].status == "sandbox_error"
        assert "apt install" in outcomes[0].detail or "namespaces" in outcomes[0].detail
        assert not os.path.exists(trace)
    finally:
        sandbox_module.available.cache_clear()


def test_a_level_that_does_not_start_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = list(confinement.candidates())
    broken = replace(candidates[0], python="/nonexistent/python")
    monkeypatch.setattr(confinement, "candidates", lambda: iter([broken, *candidates]))
    sandbox_module.available.cache_clear()
    try:
        found, _ = sandbox_module.available()
        assert found is None or found.python != broken.python
    finally:
        sandbox_module.available.cache_clear()


def test_without_libseccomp_the_level_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "library", lambda: None)
    assert {candidate.level for candidate in confinement.candidates()} <= {"bubblewrap"}
