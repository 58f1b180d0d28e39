"""The wheel contains all that its commands need, and it trains."""

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


SMALLEST = """
name = "smallest"
[policy]
model = "tiny"
template = "tags"
[data]
train = "tiny-math:train[:8]"
[[stages]]
kind = "grpo"
steps = 2
completions_per_step = 8
group_size = 4
max_tokens = 8
rewards = { accuracy = 1.0 }
[tracking]
wandb = "off"
"""


@pytest.mark.slow
def test_installed_it_trains_far_from_this_checkout(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel)
    installed = said(*install, "--no-compile", folder=tmp_path)
    assert installed.returncode == 0, installed.stderr
    # It uses the dependencies of this environment, but not its .pth files, which may lead to this checkout.
    [packages] = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    (tmp_path / "smallest.toml").write_text(SMALLEST, encoding="utf-8")
    harness = tmp_path / "venv" / "bin" / "harness"
    done = said(harness, "train", "smallest.toml", "--out", "run", "--quiet", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "status.json").read_text(encoding="utf-8"))["state"] == "done"
    where = said(python, "-c", "import harness; print(harness.__file__)", folder=tmp_path)
    assert where.stdout.startswith(str(packages))
