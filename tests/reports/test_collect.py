"""What is found in folders, and what is said of those that are no run, still going, or half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from reports.collect import collect


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
