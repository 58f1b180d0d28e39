"""The page for a user with own questions: every command on it, in its order, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "your-own-data.md"
SMALLER = {
    "steps = 24": "steps = 2",
    "completions_per_step = 32": "completions_per_step = 8",
    "group_size = 8": "group_size = 4",
    "eval_every = 12": "eval_every = 2",
    "checkpoint_every = 24": "checkpoint_every = 2",
    "[130:150]": "[130:134]",
    "[150:]": "[150:158]",
}
"""The same experiment with fewer steps, completions and questions."""


def blocks(language: str) -> list[str]:
    walk = PAGE.read_text(encoding="utf-8").partition("\n## What can be named")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", walk, re.MULTILINE | re.DOTALL)


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("smollm2")  # skips where the checkpoint's package is not installed
def test_every_command_of_the_page(tmp_path: Path) -> None:
    [script], [experiment] = blocks("python"), blocks("toml")
    for words, fewer in SMALLER.items():
        assert words in experiment
        experiment = experiment.replace(words, fewer)
    (tmp_path / "sums.toml").write_text(experiment, encoding="utf-8")
    run(tmp_path, "-c", script)
    told = []
    for line in "".join(blocks("console")).splitlines():
        prompt, command, *rest = shlex.split(line)
        assert (prompt, command) == ("$", "harness")
        told.append(run(tmp_path, "-m", "harness.cli", *rest))
    check, prompts, before, _, after, compared, _ = told
    assert "sums:test" not in check  # no question of it is trained on
    assert "Gold answers that the grader cannot read: 0 of the first 130" in check
    assert re.search(r"User: What is \d+ \+ \d+\?\nAssistant:", prompts)
    assert "8 × 2" in before
    assert "8 × 2" in after
    assert "sums" in compared
    rows = [json.loads(row) for row in (tmp_path / "evals/after/sums/samples.jsonl").read_text().splitlines()]
    assert len(rows) == 16
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "before" in page
    assert "after" in page
