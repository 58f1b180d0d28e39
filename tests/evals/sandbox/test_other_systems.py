"""On systems without Linux's calls nothing is run, and what needs no sandbox works as before."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys

import pytest

from evals.sandbox import Sandbox, Script
from evals.sandbox import sandbox as sandbox_module

# What macOS lacks is taken away before anything is imported; then answers are graded in the workers.
ELSEWHERE = """
import os, platform, signal, sys
for module, name in [(os, "sched_getaffinity"), (os, "memfd_create"), (os, "pidfd_open"),
                     (signal, "pidfd_send_signal")]:
    if hasattr(module, name):
        delattr(module, name)
platform.system = lambda: "Darwin"
sys.modules["pyseccomp"] = sys.modules["fcntl"] = None  # Windows has no fcntl
import harness.cli, evals.comparison.compare, evals.recorded
from evals.graders import registry
with registry.make_grader("math") as grader:
    print(grader)
with registry.make_grader("code") as grader:
    print(grader._sandbox.isolation)
"""


def test_a_sandbox_that_cannot_be_built_runs_nothing_and_says_where_it_could(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.delattr(signal, "pidfd_send_signal")
    sandbox_module.available.cache_clear()
    try:
        with Sandbox() as sandbox:
            assert sandbox.isolation == "none"
            (outcome,) = sandbox.run_many([Script("print(1)", ("",))])
    finally:
        sandbox_module.available.cache_clear()
    assert outcome.status == "sandbox_error"
    assert "only run on Linux" in outcome.detail
    assert not outcome.outputs


def test_graders_are_made_without_what_only_linux_has() -> None:
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "none"
