"""harness forecast: text, JSON, hold-outs of a CSV file, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    path = tmp_path / "curve.csv"
    rows = [f"{10 * n},{0.2 + 0.04 * n:.2f},0.02" for n in range(10)]
    path.write_text("\n".join(["_step,accuracy,stderr", *rows]) + "\n")
    return path


def run(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["forecast", *map(str, words)])
    return result.exit_code, result.output + str(result.exception or "")


def test_text_and_json_say_the_same(curve: Path) -> None:
    code, text = run(curve, "--metric", "accuracy", "--budget", "30steps")
    assert code == 0
    assert "curve: accuracy is 56% at step 90" in " ".join(text.split())
    code, text = run(curve, "--metric", "accuracy", "--budget", "30", "--json")
    assert code == 0
    (found,) = json.loads(text)
    assert (found["run"], found["horizon"], found["go_on"]) == ("curve", 120, "yes")
    assert found["interval80"][0] < found["forecast"] < found["interval80"][1]


def test_what_was_held_out_is_shown(curve: Path) -> None:
    code, text = run(curve, "--metric", "accuracy", "--until", "40", "--json")
    assert code == 0
    (found,) = json.loads(text)
    assert [each["step"] for each in found["held"]] == [50, 60, 70, 80, 90]
    assert found["horizon"] == 90
    assert "held out" in run(curve, "--metric", "accuracy", "--until", "40")[1]


def test_a_step_behind_the_last_holds_nothing_out(curve: Path) -> None:
    code, text = run(curve, "--metric", "accuracy", "--until", "500", "--json")
    assert code == 0
    (found,) = json.loads(text)
    assert (found["step"], found["horizon"], found["held"]) == (90, 135, [])


def test_a_file_of_several_runs_and_benchmarks(tmp_path: Path) -> None:
    rows = [f"{run},{step},{name},{0.3 + 0.001 * step}" for run in (1, 2) for step in (50, 100, 150)
            for name in ("aime24", "amc23")]  # fmt: skip
    (tmp_path / "open.csv").write_text("\n".join(["run,step,benchmark,accuracy", *rows]) + "\n")
    code, text = run(tmp_path / "open.csv", "--metric", "amc23", "--json")
    assert code == 0
    assert sorted(each["run"] for each in json.loads(text)) == ["open 1", "open 2"]
    assert "there is aime24, amc23" in run(tmp_path / "open.csv")[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--budget", "soon"], "must look like 200steps"),
        (["--budget", "0h"], "must look like 200steps"),
        (["--budget", "2h", "--metric", "accuracy"], "the run logs no seconds per step"),
        (["--metric", "reward"], "no values of reward; there is accuracy"),
        (["--metric", "accuracy", "--until", "-5"], "no values of accuracy by step -5"),
    ],
)
def test_what_cannot_be_is_one_sentence(curve: Path, words: list[str], told: str) -> None:
    code, text = run(curve, *words)
    assert code != 0
    assert told in text


def test_a_csv_without_steps_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    assert "no step column, only x, y" in run(tmp_path / "a.csv")[1]
    (tmp_path / "none").mkdir()
    assert "contains no run or sweep" in run(tmp_path / "none")[1]
    (tmp_path / "b.csv").write_text("step,accuracy\n1,0.2\n1,0.3\n")
    assert "several rows have the same step" in run(tmp_path / "b.csv")[1]
