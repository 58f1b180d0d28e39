"""The wheel contains all that its commands need, and a small study runs from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = (".css", ".html", ".js", ".csv", ".toml", ".json", ".typed")
"""Suffixes of files that belong to the packages beside Python's own."""


def said(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    alone = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [*map(str, words)], cwd=folder, env=alone, capture_output=True, text=True, check=False, timeout=500
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    alone = ["--no-build-isolation"] if find_spec("hatchling") else []  # else pip fetches it for the build
    build = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *alone, "-w", folder, ROOT)
    built = said(*build, folder=folder)
    if built.returncode and "hatchling" in built.stderr:
        pytest.skip("the build backend cannot be fetched here")
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(
        ["git", "ls-files", "evals", "harness", "reports"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = {name for name in listed.stdout.splitlines() if name.endswith((".py", *DATA))}
    assert expected <= inside, sorted(expected - inside)
    shipped = {f"harness/experiments/{path.name}" for path in (ROOT / "experiments").glob("*.toml")}
    assert shipped <= inside
    assert not [name for name in inside if name.startswith("tests/")]


SMALLEST = {
    "sweep.trials": 1,
    "sweep.confirm_seeds": 0,
    "data.dev": '["tiny-math:dev[:2]"]',
    "data.dev_samples": 1,
    "grpo.steps": 2,
    "grpo.completions_per_step": 16,
    "grpo.max_tokens": 16,
    "grpo.eval_every": 2,
    "grpo.checkpoint_every": 2,
    "eval.benchmarks": '["tiny-math[:2]"]',
    "eval.samples": 1,
    "eval.max_tokens": 16,
    "tracking.wandb": "off",
}
"""The quickstart's study, of one trial that takes two steps."""


@pytest.mark.slow
def test_installed_it_runs_a_study_far_from_this_checkout(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel)
    installed = said(*install, folder=tmp_path)
    assert installed.returncode == 0, installed.stderr
    # It uses the dependencies of this environment, but not its .pth files, which may lead to this checkout.
    [packages] = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    overrides = [word for key, value in SMALLEST.items() for word in ("-s", f"{key}={value}")]
    harness = tmp_path / "venv" / "bin" / "harness"
    done = said(harness, "quickstart", "--tiny", "--quiet", "--out", "run", *overrides, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    [trial] = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))["trials"]
    assert trial["state"] == "complete"
    assert "tiny-math" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    where = said(python, "-c", "import harness; print(harness.__file__)", folder=tmp_path)
    assert where.stdout.startswith(str(packages))
