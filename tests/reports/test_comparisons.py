"""Differences equal those of ``harness compare``; "best" and refusals follow the rules the page states."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from evals.comparison.compare import Arm, compare_arms
from evals.comparison.compare import compare as compare_folders
from evals.comparison.evaluations import read_evaluations
from evals.duel import Duel
from evals.scores import Scores
from evals.stats.metrics import QuestionStats
from reports import comparisons, prose
from reports.collect import collect


def test_one_model_a_side_equals_harness_compare(sweep_folder: Path) -> None:
    folders = [sweep_folder / "evals/base", sweep_folder / "evals/winner-seed-1"]
    theirs = compare_folders(folders)
    assert {c.benchmark for c in theirs} == {"tiny-aime", "tiny-math", "tiny-code"}
    assert sorted(comparisons.compare(collect(folders)).differences, key=str) == sorted(theirs, key=str)


def test_duels_are_compared_on_the_page_as_by_the_command(tmp_path: Path) -> None:
    """One duel a question, won in part: McNemar's test would leave out by how much."""
    for name, shift in (("a", 0.2), ("b", 0.3)):
        won = np.clip(np.random.default_rng(0).uniform(0, 0.5, 60) + shift, 0, 1)
        questions = tuple(
            QuestionStats(str(i), 1, int(share > 0.5), duels=(Duel(float(share), 1.0, 10),))
            for i, share in enumerate(won)
        )
        Scores("alpaca_eval", questions, "none needed", votes=False).write(tmp_path / name / "alpaca_eval")
    [printed] = compare_folders([tmp_path / "a", tmp_path / "b"])
    [shown] = comparisons.compare(collect([tmp_path / "a", tmp_path / "b"])).differences
    assert shown == printed
    assert shown.test == "permutation"


def test_training_seeds_of_a_winner_are_averaged(sweep_folder: Path) -> None:
    study = collect([sweep_folder])
    for one in comparisons.compare(study).differences:
        scores = {e.model: e.value for e in study.evaluations if e.benchmark == one.benchmark}
        seeds = [scores["winner, seed 1"], scores["winner, seed 2"]]
        assert (one.a, one.b) == ("base", "winner")
        assert one.difference.value == pytest.approx(np.mean(seeds) - scores["base"], abs=1e-12)
        assert one.per_seed == pytest.approx([seed - scores["base"] for seed in seeds], abs=1e-12)


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
    arms = [Arm("base", (read_evaluations(evals / "base"),)), Arm("winner", seeds)]
    [printed] = [one for one in compare_arms(arms) if one.benchmark == "tiny-aime"]
    assert shown.difference == printed.difference
    assert shown.p_value == printed.p_value


def test_two_evaluations_of_one_benchmark_are_shown_apart(sweep_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sweep_folder / "evals/base", tmp_path / "mine")
    shutil.copytree(sweep_folder / "evals/winner-seed-1/tiny-aime", folder / "tiny-aime-old-copy")
    study = collect([folder])
    assert any("tiny-aime and tiny-aime-old-copy are all of tiny-aime" in told for told in study.problems)
    values = {e.model: e.value for e in study.evaluations if e.benchmark == "tiny-aime"}
    assert values["mine: tiny-aime-old-copy"] > values["mine: tiny-aime"] + 0.3


def test_many_models_are_ranked_and_named_once(tmp_path: Path) -> None:
    """Forty models: groups that do not differ significantly, a short title, no sentence for each pair."""
    for model in range(40):
        stats = tuple(QuestionStats(f"q{i}", 4, min(4, model // 10 + (i % 2))) for i in range(30))
        Scores("math500", stats, "x").write(tmp_path / f"model-{model:02}-Instruct/math500")
    study = collect(sorted(tmp_path.glob("model-*")))
    found = comparisons.compare(study)
    places = found.ranks["math500"]
    assert [place.group for place in places] == [1] * 10 + [2] * 10 + [3] * 10 + [4] * 10
    assert study.title == "40 models on math500"
    told = [prose.headline(study, found), *prose.summary(study, found)]
    assert len(told) <= 4
    assert all(len(one) < 500 for one in told)
    assert not any("rained models" in one for one in told)
    assert (
        "model-30-Instruct comes first, but does not differ significantly from 9 of the 39 others" in told[0]
    )


def test_the_baseline_is_the_policy_that_training_started_from(sweep_folder: Path, tmp_path: Path) -> None:
    """A run that is named first is no baseline for the base policy, nor for another model's evaluation."""
    run = tmp_path / "my-run"
    shutil.copytree(next(sweep_folder.glob("confirm/*/seed-1")), run)
    shutil.copytree(sweep_folder / "evals/winner-seed-1", run / "evals/final")
    study = collect([run, sweep_folder])
    assert study.groups()[0] == "my-run"
    assert study.baseline() == "quick-sweep: base"
    found = comparisons.compare(study).differences
    assert {one.a for one in found} == {"quick-sweep: base"}
    assert {one.b for one in found} == {"my-run", "quick-sweep: winner"}
    assert all(one.difference.value > 0 for one in found)
    assert "Trained models are better than quick-sweep: base" in prose.headline(
        study, comparisons.compare(study)
    )
    alone = collect([run, sweep_folder / "evals/base"])
    assert alone.baseline() == "base"
    assert {one.a for one in comparisons.compare(alone).differences} == {"base"}


def test_of_two_evaluations_the_first_is_the_baseline_as_in_harness_compare(sweep_folder: Path) -> None:
    folders = [sweep_folder / "evals/winner-seed-1", sweep_folder / "evals/base"]
    [printed] = [one for one in compare_folders(folders) if one.benchmark == "tiny-aime"]
    [shown] = [
        one for one in comparisons.compare(collect(folders)).differences if one.benchmark == "tiny-aime"
    ]
    assert (shown.a, shown.b) == (printed.a, printed.b) == ("winner-seed-1", "base")
    assert shown.difference.value == pytest.approx(printed.value_b - printed.value_a)
    assert shown.difference.value < 0


def test_folders_of_one_name_are_told_apart(sweep_folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(sweep_folder / "evals/base/tiny-aime", tmp_path / name / "eval/tiny-aime")
    study = collect([tmp_path / "one/eval", tmp_path / "two/eval"])
    assert study.models() == ["one/eval", "two/eval"]
    assert len(comparisons.compare(study).differences) == 1
