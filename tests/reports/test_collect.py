"""What is found in folders, and what is said of those that are no run, still going, or half-written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from reports.collect import collect
from reports.page import build_report
from tests.reports.conftest import STEPS


def test_a_sweep_gives_trials_fresh_seeds_and_evaluations(sweep_folder: Path) -> None:
    study = collect([sweep_folder])
    assert study.problems == []
    (sweep,) = study.sweeps
    assert {number: len(frame) for number, frame in sweep.trials.items()}[2] == 20
    assert [run.label for run in sweep.fresh] == ["seed 1", "seed 2"]
    assert study.models() == ["base", "winner, seed 1", "winner, seed 2"]
    assert study.benchmarks() == ["tiny-aime", "tiny-math", "tiny-code"]  # the experiment's order
    first = study.evaluations[0]
    assert sum(q.n for q in first.questions.values()) == 30 * 64
    assert first.value == first.scores["pass@1"]["value"]


def test_a_resumed_trial_counts_a_step_once_as_the_last_attempt_logged_it(fresh_sweep: Path) -> None:
    second = fresh_sweep / "trials/0/attempt-2"
    second.mkdir()
    rows = [{"step": step, "stage": "grpo", "reward": 9.0} for step in range(55, 66)]
    (second / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics = collect([fresh_sweep]).sweeps[0].trials[0]
    assert metrics["step"].tolist() == list(range(1, 66))
    assert (metrics.loc[metrics["step"] >= 55, "reward"] == 9.0).all()


def test_each_bad_folder_is_one_sentence_and_the_rest_is_collected(
    sweep_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    study = collect([tmp_path / "missing", tmp_path / "empty", sweep_folder])
    assert len(study.sweeps) == 1
    assert [problem.endswith(".") for problem in study.problems] == [True, True]
    assert "no such folder" in study.problems[0]
    assert "neither a sweep, a run nor an evaluation" in study.problems[1]


def test_half_written_files_are_left_out(fresh_sweep: Path) -> None:
    (fresh_sweep / "evals/base/tiny-math/scores.json").write_text('{"benchmark": "tiny-m')
    (fresh_sweep / "evals/winner-seed-2/tiny-code/scores.json").unlink()
    with (fresh_sweep / "trials/1/attempt-1/metrics.jsonl").open("a") as handle:
        handle.write('{"step": 61, "sta')
    (fresh_sweep / "manifest.json").write_text("{")
    study = collect([fresh_sweep])
    assert len(study.evaluations) == 7
    assert len(study.sweeps[0].trials[1]) == 60
    assert sum("scores.json" in problem for problem in study.problems) == 3
    assert any("manifest.json" in problem for problem in study.problems)


def test_a_sweep_without_its_summary_is_said_to_be_unfinished(fresh_sweep: Path) -> None:
    (fresh_sweep / "summary.json").unlink()
    (fresh_sweep / "status.json").unlink()
    study = collect([fresh_sweep])
    assert study.sweeps[0].state == "running"
    assert any("not finished" in problem for problem in study.problems)
    assert study.models() == ["base", "winner, seed 1", "winner, seed 2"]  # found by their folders' names


def test_a_finished_sweep_needs_no_status_file(fresh_sweep: Path) -> None:
    (fresh_sweep / "status.json").unlink()
    assert collect([fresh_sweep]).problems == []


@pytest.mark.parametrize(("steps", "told"), [(STEPS, None), (STEPS + 1, STEPS + 1)])
def test_the_steps_of_fresh_seeds_are_those_of_the_stage_that_they_set(
    fresh_sweep: Path, steps: int, told: int | None
) -> None:
    """Fine-tuning after it, and an evaluation without steps, change nothing."""
    sweep = collect([fresh_sweep]).sweeps[0]
    grpo = sweep.experiment["stages"][0]
    stages = [grpo, {"kind": "sft", "name": "late", "steps": 7}, {"kind": "evaluate", "name": "last"}]
    settings = {**sweep.experiment["sweep"], "confirm_steps": steps}
    changed = replace(sweep, experiment={**sweep.experiment, "stages": stages, "sweep": settings})
    assert changed.confirm_steps == told


def test_runs_and_evaluation_folders_stand_alone(fresh_sweep: Path, tmp_path: Path) -> None:
    run = shutil.copytree(next(fresh_sweep.glob("confirm/*/seed-1")), tmp_path / "my-run")
    (run / "status.json").write_text(json.dumps({"state": "failed", "reason": "out of memory", "time": 0.0}))
    study = collect([run, fresh_sweep / "evals/base", fresh_sweep / "evals/winner-seed-1/tiny-aime"])
    assert [r.label for r in study.runs] == ["my-run"]
    assert [(e.model, e.benchmark) for e in study.evaluations][-1] == ("tiny-aime", "tiny-aime")
    assert study.problems == [f"{run}: this run failed: out of memory."]


def test_scores_of_another_program_are_shown_but_not_compared(fresh_sweep: Path) -> None:
    path = fresh_sweep / "evals/base/tiny-aime/scores.json"
    scores = json.loads(path.read_text())
    del scores["per_question"]
    path.write_text(json.dumps(scores))
    study = collect([fresh_sweep])
    assert study.evaluations[0].value == scores["pass@1"]["value"]
    assert study.evaluations[0].questions == {}
    assert any("not compared" in problem for problem in study.problems)


DEEP = "[" * 50_000
DAMAGED = {
    "summary.json": (DEEP, '{"evals": "x", "trials": 3, "winner": [1]}', "[]", '{"evals": {"winner": 3}}'),
    "status.json": (DEEP,),
    "manifest.json": (DEEP, '{"hardware": 3, "seeds": []}'),
    "experiment.toml": (
        'eval = "x"\nstages = [1]\nsweep = 3',
        "[eval]\nbenchmarks = 3\n[sweep]\nspace = 3",
    ),
    "evals/base/tiny-aime/scores.json": (
        DEEP,
        '{"benchmark": ["x"], "per_question": [[]], "pass@1": "x"}',
    ),
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in DAMAGED for text in DAMAGED[name]])
def test_what_is_damaged_is_told_and_costs_nothing_else(fresh_sweep: Path, name: str, text: str) -> None:
    (fresh_sweep / name).write_text(text)
    study = collect([fresh_sweep])
    assert any(problem.startswith(f"{fresh_sweep / name}: ") for problem in study.problems)
    assert len(study.sweeps[0].trials) == 10
    assert "winner, seed 2" in study.models()


@pytest.mark.parametrize("which", [0, -1])
def test_with_every_file_damaged_there_is_a_page(fresh_sweep: Path, which: int) -> None:
    for name, texts in DAMAGED.items():
        (fresh_sweep / name).write_text(texts[which])
    assert build_report([fresh_sweep], fresh_sweep / "report.html").exists()


@pytest.mark.parametrize(
    "line",
    [
        *(DEEP, "null", '{"step": null, "stage": "grpo"}', '{"step": 5, "stage": ["grpo"]}'),
        '{"step": 5, "stage": "grpo", "reward": 1' + "0" * 400 + ', "length": "x", "kl": [1]}',
    ],
)
def test_a_damaged_line_of_metrics_is_passed_over(fresh_sweep: Path, line: str) -> None:
    path = fresh_sweep / "trials/0/attempt-1/metrics.jsonl"
    lines = path.read_text().splitlines()
    lines[4] = line
    path.write_text("\n".join(lines) + "\n")
    found = collect([fresh_sweep]).sweeps[0].trials[0]
    assert set(range(1, STEPS + 1)) - {5} <= set(found["step"])
    assert found["reward"].count() == STEPS - 1


def test_passwords_in_a_recorded_experiment_stay_out_of_the_report(fresh_sweep: Path) -> None:
    """A folder of an earlier version may hold them."""
    with (fresh_sweep / "experiment.toml").open("a") as experiment:
        experiment.write('\n[teacher]\nserver = "http://ann:SECRET@host/v1?api_key=SECRET"\n')
    page = build_report([fresh_sweep], fresh_sweep / "report.html").read_text()
    assert "http://***@host" in page
    assert "SECRET" not in page
