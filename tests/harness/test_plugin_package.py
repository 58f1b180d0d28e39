"""A package that adds one thing of every kind, installed and used by the commands (docs/extending.md)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from evals.base.registry import file_hash
from harness.models.policy import Policy, save_policy

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "plugin_package"
ORIGIN = "harness-example 0.1.0"
KINDS = {
    "task": "digits",
    "template": "quiet",
    "grader": "last-number",
    "reward": "short",
    "loss": "reinforce",
    "advantage": "signs",
    "engine": "bounded",
    "executor": "one-by-one",
}


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a harness command in a folder, with the package installed beside the harness."""
    pytest.importorskip("setuptools", reason="the package is built with it")
    folder = tmp_path_factory.mktemp("package")
    source, site = folder / "source", folder / "site"
    shutil.copytree(PACKAGE, source)  # a build leaves files behind
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", site, source], check=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(site)))}

    def run(cwd: Path, *words: str, command: tuple[str, ...] = ("-m", "harness.cli")) -> str:
        done = subprocess.run(
            [sys.executable, *command, *words],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=540,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    return run


def experiment(model: Path) -> dict[str, Any]:
    """One short stage that uses everything of the package, and a reward of a file beside it."""
    return {
        "name": "plugins",
        "policy": {
            "model": str(model),
            "template": "quiet",
            "device": "cpu",
            "engine": {"kind": "bounded", "most": 64},
        },
        "data": {"train": "digits:train[:8]", "dev": "digits:train[8:10]", "dev_samples": 1},
        "stages": [
            {
                "kind": "grpo",
                "steps": 1,
                "completions_per_step": 8,
                "group_size": 4,
                "max_tokens": 6,
                "eval_every": 1,
                "loss": {"kind": "reinforce", "scale": 2.0},
                "advantage": "signs",
                "rewards": {
                    "short": {"weight": 1.0, "settings": {"words": 3}},
                    "mine.py:nice": 0.0,
                    "length": {"weight": 0.1, "function": "mine.py:tokens"},
                },
            }
        ],
        "eval": {"benchmarks": ["digits[:4]"], "samples": 1, "max_tokens": 6, "engine": "bounded"},
        "tracking": {"wandb": "off"},
    }


OWN = """
import os
def nice(attempt): return float(os.environ.get("EXAMPLE_NICE", "0"))
def tokens(attempt): return attempt.tokens
"""


@pytest.fixture
def folder(make_random_policy: Callable[..., Policy], tmp_path: Path) -> Path:
    save_policy(make_random_policy(max_position_embeddings=512), tmp_path / "model")
    (tmp_path / "mine.py").write_text(OWN)
    return tmp_path


def write(folder: Path, raw: dict[str, Any]) -> None:
    (folder / "x.toml").write_text(tomli_w.dumps(raw))


def metrics(run: Path) -> dict[str, float]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {key: value for row in rows for key, value in row.items()}


@pytest.mark.slow
def test_plugins_are_listed(harness: Callable[..., str], tmp_path: Path) -> None:
    rows = json.loads(harness(tmp_path, "plugins", "--json"))
    assert not [row for row in rows if row["problem"]]
    assert {row["kind"]: row["name"] for row in rows if row["origin"] == ORIGIN} == KINDS
    (short,) = [row for row in rows if row["name"] == "short"]
    assert short["target"] == "harness_example.reward:short"
    assert short["settings"] == {"words": "The most words that still earn the reward."}
    shown = harness(tmp_path, "plugins")
    assert all(name in shown for name in (*KINDS.values(), "sapo", "harness-example"))


@pytest.mark.slow
def test_a_run_uses_them_and_its_manifest_says_so(harness: Callable[..., str], folder: Path) -> None:
    write(folder, experiment(folder / "model"))
    harness(folder, "train", "x.toml", "--out", "run", "--quiet")
    found = metrics(folder / "run")
    assert {"reward/short", "reward/mine.py:nice", "reward/length"} <= found.keys()
    assert found["reward/length"] == found["length"]
    rows = json.loads((folder / "run/manifest.json").read_text())["plugins"]
    assert {(row["kind"], row["name"]): row["origin"] for row in rows} == {
        ("task", "digits"): ORIGIN,
        ("grader", "last-number"): ORIGIN,
        ("engine", "bounded"): ORIGIN,
        ("template", "quiet"): ORIGIN,
        ("loss", "reinforce"): ORIGIN,
        ("advantage", "signs"): ORIGIN,
        ("reward", "short"): ORIGIN,
        ("reward", f"{folder}/mine.py:nice"): f"{folder}/mine.py",
        ("reward", f"{folder}/mine.py:tokens"): f"{folder}/mine.py",
    }
    prompts = (folder / "run/samples.jsonl").read_text()
    assert "Only a number." in prompts
    assert rows[-1]["blake2b"] == file_hash(folder / "mine.py")
    (scores,) = (folder / "run/evals").rglob("scores.json")
    assert json.loads(scores.read_text())["engine"] == "bounded"


@pytest.mark.slow
def test_a_sweep_over_losses_by_its_executor(harness: Callable[..., str], folder: Path) -> None:
    raw = experiment(folder / "model")
    raw["eval"]["benchmarks"] = []
    raw["sweep"] = {
        "trials": 2,
        "sampler": "grid",
        "pruner": "none",
        "confirm_seeds": 0,
        "executor": {"kind": "one-by-one", "nice": "7"},
        "space": {"grpo.loss.kind": ["clip", "reinforce"]},
    }
    write(folder, raw)
    harness(folder, "sweep", "x.toml", "--out", "sweep")
    losses = []
    for trial in (0, 1):
        run = folder / f"sweep/trials/{trial}/attempt-1"
        assert metrics(run)["reward/mine.py:nice"] == 7.0
        with (run / "experiment.toml").open("rb") as file:
            stage = tomllib.load(file)["stages"][0]
        losses.append(stage["loss"])
        assert stage["rewards"]["mine.py:nice"]["function"] == f"{folder}/mine.py:nice"
    assert sorted(losses, key=str) == ["clip", {"kind": "reinforce", "scale": 2.0}]


@pytest.mark.slow
def test_its_engine_keeps_the_contract(harness: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("-p", "no:cacheprovider", "-k", "not vllm", "tests/harness/engines/test_contract.py")
    environment = "import os, sys, pytest; os.environ['HARNESS_ENGINE'] = 'bounded'; "
    told = harness(ROOT, *words, command=("-c", environment + "sys.exit(pytest.main(sys.argv[1:]))"))
    assert re.search(r"\d+ passed", told)


def test_every_example_of_the_documentation_is_a_file_of_the_package() -> None:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"```(?:python|toml) title=\"([\w./]+)\"\n(.*?)```", text, re.DOTALL))
    files = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*") if path.is_file()}
    wanted = {name for name, path in files.items() if path.suffix in (".py", ".toml") and path.stat().st_size}
    assert shown.keys() == wanted
    for name, example in shown.items():
        assert example == files[name].read_text(encoding="utf-8"), name
