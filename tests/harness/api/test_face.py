"""What ``from harness import …`` offers: all of it is there, and nothing is imported before it is used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import harness
import harness.plan.plan
import harness.sweep.events
import harness.train.status
from harness.api.run import RunResult

HEAVY = ("torch", "transformers", "pandas", "numpy", "optuna", "pydantic", "rich", "httpx")
ROOT = Path(__file__).parents[3]


def loaded(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after running ``code``."""
    shown = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    run = [sys.executable, "-c", shown]
    return set(subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split())


def test_importing_the_face_imports_no_library() -> None:
    assert loaded("import harness, evals").isdisjoint(HEAVY)
    assert loaded("from harness import train, sweep, plan").isdisjoint(HEAVY)


def test_the_help_of_the_command_imports_no_library_that_trains() -> None:
    code = "import contextlib, io\nfrom harness.cli.app import app\nimport harness.cli\n"
    code += "with contextlib.redirect_stdout(io.StringIO()):\n    app(['--help'], standalone_mode=False)"
    assert loaded(code).isdisjoint(set(HEAVY) - {"rich", "pydantic"})


def test_every_name_is_there() -> None:
    assert all(callable(getattr(harness, name)) for name in harness.__all__)
    assert dir(harness) == sorted(harness.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        harness.trian  # noqa: B018


def test_functions_can_be_called_whatever_of_the_packages_of_their_names_was_imported(tmp_path: Path) -> None:
    signature = inspect.signature(harness.train)
    assert list(signature.parameters) == ["experiment", "folder", "quiet"]
    for function in (harness.train, harness.sweep, harness.plan):
        with pytest.raises(harness.UsageError, match="no such file"):
            function(tmp_path / "none.toml")
    assert harness.train.status.read_status(tmp_path) is None  # type: ignore[attr-defined]
    assert RunResult(tmp_path).state == "running"


def test_type_checkers_are_told_that_there_are_types() -> None:
    assert all((ROOT / package / "py.typed").exists() for package in ("evals", "harness", "reports"))
