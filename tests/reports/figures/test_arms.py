"""Arms: runs with their evaluation, each at the time that its training took."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from reports import comparisons, costs, page, prose
from reports.arms import ExplainedRow
from reports.collect import collect
from reports.figures import arms


@pytest.fixture
def two_arms(sweep_folder: Path, tmp_path: Path) -> list[Path]:
    """Two run folders, each with an evaluation of its own."""
    folders = []
    for name, seed, evaluated in (("distil", 1, "base"), ("rl", 2, "winner-seed-1")):
        folder = tmp_path / name
        shutil.copytree(next(sweep_folder.glob(f"confirm/*/seed-{seed}")), folder)
        shutil.copytree(sweep_folder / f"evals/{evaluated}", folder / "evals" / "final")
        folders.append(folder)
    return folders


def test_an_arm_is_a_run_with_its_evaluation(two_arms: list[Path]) -> None:
    found = arms.arms(collect(two_arms))
    assert set(found) == {"tiny-aime", "tiny-math", "tiny-code"}
    for benchmark, shown in found.items():
        assert [arm.label for arm in shown] == ["distil", "rl"]
        for arm, folder in zip(shown, two_arms, strict=True):
            scores = json.loads((folder / "evals/final" / benchmark / "scores.json").read_text())
            assert [arm.value, arm.low, arm.high] == [scores["pass@1"]["value"], *scores["pass@1"]["ci95"]]
            times = [json.loads(line)["time"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
            assert (arm.cost, arm.unit) == (pytest.approx((times[-1] - times[0]) / 60), "minutes")


def test_a_run_with_one_evaluation_is_called_by_its_name(two_arms: list[Path]) -> None:
    assert collect(two_arms).models() == ["distil", "rl"]
    shutil.copytree(two_arms[0] / "evals" / "final", two_arms[0] / "evals" / "before")
    assert collect(two_arms).models() == ["distil: before", "distil: final", "rl"]


def test_the_figure_says_its_numbers_and_needs_two_arms(two_arms: list[Path]) -> None:
    figure = arms.figure(collect(two_arms))
    assert figure is not None
    titles = [panel.title for panel in figure.panels]
    assert titles == ["dev questions", "tiny-aime", "tiny-math", "tiny-code"]
    assert "distil 36.3% after 1.0 minutes; rl 86.1% after 1.0 minutes" in figure.panels[1].alt
    assert arms.figure(collect(two_arms[:1])) is None


def test_what_a_teacher_answered_counts_from_the_start(two_arms: list[Path]) -> None:
    for folder in two_arms:
        path = folder / "metrics.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [{**row, "flops/rollout": 1e12, "flops/update": 3e12} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    teacher = {
        "stage": "a",
        "kind": "reject",
        "teacher": True,
        "tokens": 5,
        "flops": 7e12,
        "device_seconds": 1,
    }
    (two_arms[0] / "ledger.json").write_text(json.dumps({"stages": [teacher]}))
    study = collect(two_arms)
    steps = len(study.runs[0].metrics)
    distilled, reinforced = arms.arms(study)["tiny-aime"]
    assert (distilled.cost, distilled.unit) == (4 * steps + 7, "TFLOPs")
    assert reinforced.cost == 4 * len(study.runs[1].metrics)
    [answers] = [cost for cost in costs.costs(study) if cost.part == "distil: teacher's answers"]
    assert (answers.tokens, answers.flops) == (5, 7e12)


def test_seeds_of_an_arm_share_its_colour(two_arms: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "compared"
    (folder / "arms").mkdir(parents=True)
    (folder / "experiment.toml").write_text('name = "x"\n[compare.arms.rl]\n[compare.arms.distilled]\n')
    shutil.copytree(two_arms[1] / "evals/final", folder / "evals/base")
    for arm, source in (("rl", two_arms[1]), ("distilled", two_arms[0])):
        for seed in (1, 2):
            shutil.copytree(source, folder / f"arms/{arm}/seed-{seed}/attempt-1")
    study = collect([folder])
    assert study.models() == ["base", "rl, seed 1", "rl, seed 2", "distilled, seed 1", "distilled, seed 2"]
    figure = arms.figure(study)
    assert figure is not None
    assert [entry.label for entry in figure.legend] == ["rl", "distilled"]
    assert any("has not finished" in problem for problem in study.problems)


def test_an_arm_whose_name_ends_in_base_is_a_trained_one(two_arms: list[Path], tmp_path: Path) -> None:
    """What is untrained stands in evals/, whatever it is called; no name says so."""
    folder = tmp_path / "compared"
    (folder / "arms").mkdir(parents=True)
    (folder / "experiment.toml").write_text('name = "x"\n[compare.arms.codebase]\n[compare.arms.distilled]\n')
    for name in ("base", "distilled-base"):
        shutil.copytree(two_arms[0] / "evals/final", folder / "evals" / name)
    for arm, source in (("codebase", two_arms[0]), ("distilled", two_arms[1])):
        for seed in (1, 2):
            shutil.copytree(source, folder / f"arms/{arm}/seed-{seed}/attempt-1")
    study = collect([folder])
    assert study.untrained() == {"base", "distilled-base"}
    compared = comparisons.compare(study)
    told = prose.headline(study, compared)
    between = [one for one in compared.differences if {one.a, one.b} == {"codebase", "distilled"}]
    assert len(between) == 3
    assert (
        told
        == f"{sum(one.significant for one in between)} of 3 differences between trained arms are significant."
    )
    # Controls are left out here; they have a section of their own.
    study.controls = [ExplainedRow.model_construct(control="distilled")]
    assert "differences between trained arms" not in prose.headline(study, compared)
    assert not any("distilled answers" in line for line in prose.summary(study, compared))


def test_the_headline_says_where_training_made_it_worse(two_arms: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "compared"
    (folder / "arms").mkdir(parents=True)
    (folder / "experiment.toml").write_text('name = "x"\n[compare.arms.one]\n[compare.arms.other]\n')
    shutil.copytree(two_arms[1] / "evals/final", folder / "evals/base")  # better than what the arms come to
    for arm in ("one", "other"):
        for seed in (1, 2):
            shutil.copytree(two_arms[0], folder / f"arms/{arm}/seed-{seed}/attempt-1")
    study = collect([folder])
    compared = comparisons.compare(study)
    trained = [one for one in compared.differences if one.a == "base"]
    worse = sum(one.significant and one.difference.value < 0 for one in trained)
    assert worse > 0
    assert prose.headline(study, compared) == (
        f"Training is worse than none in {worse} of {len(trained)} comparisons; "
        "no difference between trained arms could be shown."
    )


def test_a_comparison_is_done_again_by_the_command_that_made_it(two_arms: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "compared"
    (folder / "arms").mkdir(parents=True)
    (folder / "experiment.toml").write_text('name = "x"\n[compare.arms.distil]\n[compare.arms.rl]\n')
    manifest = json.loads((two_arms[0] / "manifest.json").read_text())
    manifest["command"] = ["harness", "train", "arms.toml"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for run in two_arms:
        shutil.copytree(run, folder / f"arms/{run.name}/seed-1/attempt-1")
    html = page.render(collect([folder, two_arms[0]]))
    titles = re.findall(r'<article class="stamp">\s*<h3>(.*?)</h3>', html)
    assert titles == ["compared", "distil"]  # and the run that belongs to no comparison
    assert html.count(">harness train arms.toml<") == 1
