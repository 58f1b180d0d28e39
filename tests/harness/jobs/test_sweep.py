"""A whole sweep through real training processes, from the experiment to the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evals.base import io
from evals.base.progress import Progress
from evals.comparison.controls import Explained
from harness.config import read_experiment
from harness.config.controls import Controls
from harness.config.shipped import experiment_file
from harness.jobs.sweep import sweep_and_measure
from harness.jobs.sweep_controls import control_winner
from harness.models.policy import Policy, save_policy
from harness.sweep.costs import ledger
from harness.train.questions import QuestionSets

SETTINGS = (
    *("grpo.steps=2", "grpo.completions_per_step=16", "grpo.max_tokens=8", "grpo.eval_every=1"),
    *("data.dev=tiny-aime:dev[:3]", "data.dev_samples=2", "sweep.trials=3", "sweep.confirm_seeds=1"),
    *("sweep.confirm_steps=2", "eval.benchmarks=['tiny-aime']", "eval.samples=2", "eval.max_tokens=8"),
)


@pytest.mark.slow
def test_a_sweep_ends_in_a_report_and_is_not_done_twice(
    make_random_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    save_policy(make_random_policy(max_position_embeddings=512), tmp_path / "model")
    experiment = read_experiment(
        [experiment_file("tiny-quickstart")], [f"policy.model={tmp_path / 'model'}", *SETTINGS]
    )
    assert experiment.sweep is not None
    result = sweep_and_measure(experiment, tmp_path / "sweep", Progress(quiet=True), None)
    assert len(result.summary.trials) == 3
    assert {trial.state for trial in result.summary.trials} <= {"complete", "pruned"}
    assert result.report.read_text().startswith("<!doctype html>")
    assert result.scores["base"][0].benchmark == "tiny-aime"
    # A random policy scores zero before and after: nobody may be crowned.
    assert result.summary.winner is None
    metrics = sorted((tmp_path / "sweep").glob("trials/*/attempt-1/metrics.jsonl"))
    assert [json.loads(line)["step"] for line in metrics[0].read_text().splitlines()] == [0, 1, 2]

    before = {path: path.stat().st_mtime_ns for path in metrics}
    again = sweep_and_measure(experiment, tmp_path / "sweep", Progress(quiet=True), None)
    assert again.summary.trials == result.summary.trials
    assert {path: path.stat().st_mtime_ns for path in metrics} == before
    assert io.read_json(tmp_path / "sweep" / "status.json")["state"] == "done"

    asked = experiment.model_copy(
        update={"sweep": experiment.sweep.model_copy(update={"evaluate_unconfirmed": True})}
    )
    more = sweep_and_measure(asked, tmp_path / "sweep", Progress(quiet=True), None)
    assert list(more.scores) == ["base", "unconfirmed-seed-1"]
    assert more.summary.winner is None
    assert "unconfirmed, seed 1" in more.report.read_text()
    assert {path: path.stat().st_mtime_ns for path in metrics} == before

    # Were the best trial a winner, its settings would be trained again for rewards without meaning.
    folder, candidate = tmp_path / "sweep", more.summary.selection.candidate
    crowned = more.summary.model_copy(update={"winner": candidate})
    controlled = asked.model_copy(update={"controls": Controls(rewards=["random"])})
    assert candidate is not None

    def control() -> tuple[Explained, ...]:
        sets = QuestionSets()
        return control_winner(controlled, folder, crowned, more.scores, Progress(quiet=True), sets)

    [found] = control()
    assert (found.control, found.benchmark, found.share) == ("winner-random", "tiny-aime", None)
    [fresh], [run] = candidate.confirmation, (folder / "controls/random/seed-1").glob("attempt-*")
    mine, theirs = (read_experiment([path / "experiment.toml"]) for path in (folder / fresh.run, run))
    assert mine.seed == theirs.seed
    changed = theirs.stages[0].model_copy(update={"rewards": mine.stages[0].rewards})
    assert changed == mine.stages[0] != theirs.stages[0]
    trained = (run / "metrics.jsonl").stat().st_mtime_ns
    assert control() == (found,)
    assert (run / "metrics.jsonl").stat().st_mtime_ns == trained
    assert "controls/random/seed-1" in {launch.job for launch in ledger(folder).launches}
