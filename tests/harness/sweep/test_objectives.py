"""Several objectives and constraints: what a trial comes to, the Pareto set, who may win."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from evals.base.errors import UsageError
from harness.config import Experiment
from harness.sweep.attempts import Progress
from harness.sweep.evaluation import Evaluation
from harness.sweep.space_table import parse_space
from harness.sweep.study import Record, Study
from harness.sweep.tabulate import pareto_set, trials_of

Make = Callable[..., Experiment]
Sweep = Callable[..., tuple[dict[str, Any], list[Any]]]
BOTH: dict[str, Any] = {"objective": ["dev/pass@1", "length"], "direction": ["maximize", "minimize"]}


def open_study(experiment: Experiment, folder: Path) -> Study:
    assert experiment.sweep is not None
    return Study(experiment, parse_space(experiment.sweep.space), f"sqlite:///{folder / 'study.db'}", "one")


def test_a_training_metric_ends_where_its_last_steps_are_and_a_dev_metric_at_its_last(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": step, "length": 100.0 * step, "kl": None} for step in range(1, 31)]
    rows[9] |= {"dev/pass@1": 0.5, "dev/truncated": 0.3}
    rows[19] |= {"dev/pass@1": 0.6, "dev/truncated": 0.1}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    progress = Progress(path, "dev/pass@1", ["length", "kl", "dev/truncated", "none"])
    progress.refresh()
    assert progress.metrics() == {"length": 2550.0, "dev/truncated": 0.1}  # mean of 2100 … 3000
    assert progress.metrics(until=12) == {"length": 750.0, "dev/truncated": 0.3}  # mean of 300 … 1200


def test_two_objectives_end_in_a_pareto_set_and_the_first_chooses(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path
) -> None:
    experiment = make_experiment(trials=10, confirm_seeds=1, **BOTH)
    summary, _ = sweep_it(experiment, tmp_path)
    assert {trial["state"] for trial in summary["trials"]} == {"complete"}  # nothing is pruned
    assert summary["objectives"] == {"dev/pass@1": "maximize", "length": "minimize"}
    study = optuna.load_study(study_name="swept", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert summary["pareto"] == [trial.number for trial in study.best_trials]
    best = max(summary["trials"], key=lambda trial: trial["value"])
    assert summary["winner"]["trial"] == best["number"]
    assert best["metrics"]["length"] == pytest.approx(10 * best["params"]["grpo.group_size"] + 5.5, abs=0.5)
    assert (tmp_path / "trials.csv").read_text().splitlines()[0].count("length") == 1
    again, events = sweep_it(experiment, tmp_path)
    assert again["trials"] == summary["trials"]
    assert "started" not in [event.kind for event in events]


def test_a_trial_beyond_a_constraint_does_not_win(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path
) -> None:
    stage = {"group_size": 8}  # the first trial, at the best learning rate, has a KL of 0.08
    summary, _ = sweep_it(make_experiment(trials=8, stage=stage, constraints={"kl": 0.05}), tmp_path)
    first = summary["trials"][0]
    assert (first["metrics"], first["feasible"]) == ({"kl": pytest.approx(0.08)}, False)
    complete = [trial for trial in summary["trials"] if trial["state"] == "complete"]
    within = [trial for trial in complete if trial["params"]["grpo.group_size"] < 8]
    best = max(within, key=lambda trial: trial["value"])
    assert first["value"] > best["value"]
    assert summary["winner"]["trial"] == best["number"]
    assert summary["selection"]["complete_trials"] == len(within)
    study = optuna.load_study(study_name="swept", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert study.trials[0].constraints == {"kl": pytest.approx(0.03)}
    assert study.best_trial.number == best["number"]


def test_nobody_within_the_constraints_nobody_wins(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path
) -> None:
    summary, _ = sweep_it(make_experiment(trials=2, pruner="none", constraints={"kl": 0.001}), tmp_path)
    assert summary["winner"] is None
    assert summary["selection"]["verdict"] == (
        "No winner: none of the 2 complete trials keeps within the constraints."
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"constraints": {"kll": 0.1}}, "sweep.constraints: .* has no 'kll'; it has dev/pass@1, "),
        ({**BOTH, "objective": ["dev/pass@1", "lenght"]}, "sweep.objective: .* has no 'lenght'"),
        ({"objective": ["dev/pass@1", "length"]}, "direction must be a list of 2"),
        ({**BOTH, "objective": ["dev/pass@1", "dev/pass@1"]}, "names a metric twice"),
        ({**BOTH, "sampler": "cmaes"}, "knows one objective"),
        ({**BOTH, "objective": ["length", "dev/pass@1"]}, "must be a dev metric"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        sweep_it(make_experiment(**change), tmp_path)


def searched(experiment: Experiment, folder: Path) -> Study:
    """Accuracy rises with the learning rate, and so does the KL."""
    folder.mkdir()
    study = open_study(experiment, folder)
    for _ in range(study.total):
        number, params = study.ask()
        rate = params["grpo.learning_rate"]
        metrics = {"length": 10.0 * params["grpo.group_size"], "kl": rate}
        study.tell(number, "complete", Record(history=[Evaluation(1, rate, 0.0)], metrics=metrics))
    return study


SPACE = {"grpo.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}, "grpo.group_size": [2, 4, 8]}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "qmc", "random"])
def test_every_sampler_takes_two_objectives_and_a_constraint(
    make_experiment: Make, tmp_path: Path, sampler: str
) -> None:
    experiment = make_experiment(trials=10, space=SPACE, sampler=sampler, constraints={"kl": 1e-3}, **BOTH)
    assert experiment.sweep is not None
    study = searched(experiment, tmp_path / "study")
    front = pareto_set(trials_of(study, {}), experiment.sweep)
    assert list(front) == [trial.number for trial in study._study.best_trials]
    assert study.importances().keys() <= SPACE.keys()


def test_a_constraint_leads_the_search(make_experiment: Make, tmp_path: Path) -> None:
    counts = {}
    for most in (1e-4, 1.0):  # a quarter of the log range is within the first, all of it within the second
        experiment = make_experiment(trials=30, space=SPACE, constraints={"kl": most})
        rates = [t.params["grpo.learning_rate"] for t in searched(experiment, tmp_path / str(most)).trials()]
        counts[most] = sum(rate <= 1e-4 for rate in rates[10:])
    assert counts[1e-4] >= 3 * counts[1.0] + 5
