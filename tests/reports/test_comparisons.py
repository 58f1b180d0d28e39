"""Differences equal those of ``harness compare``; "best" and refusals follow the rules the page states."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evals.compare import Arm, compare_arms, read_evaluations
from evals.compare import compare as compare_folders
from reports import comparisons
from reports.collect import collect


def test_one_model_a_side_equals_harness_compare(sweep_folder: Path) -> None:
    folders = [sweep_folder / "evals/base", sweep_folder / "evals/winner-seed-1"]
    ours = {d.benchmark: d for d in comparisons.compare(collect(folders)).differences}
    theirs = compare_folders([folders[1], folders[0]])
    assert set(ours) == {c.benchmark for c in theirs} == {"tiny-aime", "tiny-math", "tiny-code"}
    for one in theirs:
        mine = ours[one.benchmark]
        assert (mine.value, mine.low, mine.high) == pytest.approx(
            (one.difference.value, one.difference.low, one.difference.high), abs=1e-12
        )
        assert (mine.p, mine.p_holm) == (one.p_value, one.p_value_holm)
        assert (mine.gained, mine.lost, mine.questions) == (one.gained, one.lost, one.questions)
        assert mine.flips == one.flips


def test_training_seeds_of_a_winner_are_averaged(sweep_folder: Path) -> None:
    study = collect([sweep_folder])
    for one in comparisons.compare(study).differences:
        scores = {e.model: e.value for e in study.evaluations if e.benchmark == one.benchmark}
        seeds = [scores["winner, seed 1"], scores["winner, seed 2"]]
        assert one.value == pytest.approx(np.mean(seeds) - scores["base"], abs=1e-12)
        assert one.per_seed == pytest.approx(
            {m: v - scores["base"] for m, v in scores.items() if m != "base"}, abs=1e-12
        )


def test_best_is_marked_only_where_significant(sweep_folder: Path) -> None:
    study = collect([sweep_folder])
    told_apart = {d.benchmark: d.significant for d in comparisons.compare(study).differences}
    assert told_apart == {"tiny-aime": True, "tiny-math": True, "tiny-code": False}
    best = {benchmark: comparisons.best(study, benchmark) for benchmark in study.benchmarks()}
    assert best == {"tiny-aime": "winner", "tiny-math": "winner", "tiny-code": None}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("protocol", {"sampling": {"temperature": 0.6}}, "protocols"), ("data_hash", "other", "questions")],
)
def test_what_was_not_asked_alike_is_not_compared(
    fresh_sweep: Path, key: str, value: object, words: str
) -> None:
    for folder, recorded in (("base", None), ("winner-seed-1", value), ("winner-seed-2", value)):
        path = fresh_sweep / f"evals/{folder}/tiny-aime/scores.json"
        scores = json.loads(path.read_text())
        scores[key] = ("this" if key == "data_hash" else scores[key]) if recorded is None else recorded
        path.write_text(json.dumps(scores))
    study = collect([fresh_sweep])
    found = comparisons.compare(study)
    assert [d.benchmark for d in found.differences] == ["tiny-math", "tiny-code"]
    assert len(found.refused) == 1
    assert words in found.refused[0]
    assert comparisons.best(study, "tiny-aime") is None


def test_a_different_seed_or_sample_count_is_still_comparable(fresh_sweep: Path) -> None:
    path = fresh_sweep / "evals/winner-seed-1/tiny-aime/scores.json"
    scores = json.loads(path.read_text())
    scores["protocol"] |= {"seed": 99, "samples": 32}
    path.write_text(json.dumps(scores))
    assert comparisons.compare(collect([fresh_sweep])).refused == ()


def test_seeds_are_compared_as_harness_compare_does(sweep_folder: Path) -> None:
    """The page's interval over seeds and questions is the one that the command prints."""
    study = collect([sweep_folder])
    [shown] = [one for one in comparisons.compare(study).differences if one.benchmark == "tiny-aime"]
    evals = sweep_folder / "evals"
    seeds = tuple(read_evaluations(path) for path in sorted(evals.glob("winner-*")))
    assert len(seeds) > 1
    arms = [Arm("winner", seeds), Arm("base", (read_evaluations(evals / "base"),))]
    [printed] = [one for one in compare_arms(arms) if one.benchmark == "tiny-aime"]
    assert (shown.value, shown.low, shown.high, shown.p) == pytest.approx(
        (printed.difference.value, *printed.difference.ci95, printed.p_value)
    )
