"""Two runs beside each other: which settings differ, and the figures as the files have them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from evals.base.errors import UsageError
from reports.difference import Figure, difference


def test_the_settings_of_two_trials_and_what_they_logged(sweep_folder: Path) -> None:
    runs = [sweep_folder / f"trials/{number}/attempt-1" for number in (0, 3)]
    found = difference(*runs)
    params = [trial["params"] for trial in json.loads((sweep_folder / "summary.json").read_text())["trials"]]
    told = {each.key: (each.a, each.b) for each in found.settings}
    assert told["grpo.group_size"] == (params[0]["grpo.group_size"], params[3]["grpo.group_size"])
    assert "grpo.learning_rate" in told
    assert "grpo.steps" not in told
    assert "name" not in told
    rows = [json.loads((run / "metrics.jsonl").read_text().splitlines()[-1]) for run in runs]
    figures = {each.name: each for each in found.figures}
    for name in ("reward", "dev/pass@1", "reward/accuracy", "length"):
        assert (figures[name].a, figures[name].b) == (rows[0][name], rows[1][name])
    assert figures["steps"].a == 60
    assert figures["dev/pass@1"].difference == rows[1]["dev/pass@1"] - rows[0]["dev/pass@1"]
    assert figures["dev/pass@1"].share
    assert not figures["length"].share


def test_two_evaluations_have_their_intervals_and_no_settings(sweep_folder: Path) -> None:
    folders = [sweep_folder / "evals" / name for name in ("base", "winner-seed-1")]
    found = difference(*folders)
    assert found.settings == ()
    scores = [json.loads((folder / "tiny-aime/scores.json").read_text())["pass@1"] for folder in folders]
    [aime] = [each for each in found.figures if each.name == "tiny-aime"]
    assert (aime.a, aime.b) == (scores[0]["value"], scores[1]["value"])
    assert aime.ci95 == (tuple(scores[0]["ci95"]), tuple(scores[1]["ci95"]))


def test_a_folder_that_holds_nothing_is_one_sentence(sweep_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contains neither a sweep, a run nor an evaluation"):
        difference(sweep_folder, tmp_path)


def test_the_base_of_a_sweep_without_a_winner_stands_beside_that_of_one_with(
    sweep_folder: Path, fresh_sweep: Path
) -> None:
    for folder in (fresh_sweep / "evals").glob("winner-*"):
        shutil.rmtree(folder)
    figures = {each.name: each for each in difference(sweep_folder, fresh_sweep).figures}
    assert figures["tiny-aime, base"].difference == 0
    assert figures["tiny-aime, winner, seed 1"].b is None
    assert "tiny-aime" not in figures


def test_a_gap_is_told_as_people_write_it() -> None:
    assert Figure("tokens", False, 482903, 324509).gap == "−158,394"
    assert Figure("pass@1", True, 0.5, 0.25).gap == "−25.0 points"
    assert Figure("kl", False, 0.01, 0.0125).gap == "+0.0025"
