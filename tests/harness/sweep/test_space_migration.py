"""A sweep that goes on in another space: what is refused, what is carried over, what the sampler is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from evals.base.errors import UsageError
from harness.config import Experiment
from harness.sweep import space_migration
from harness.sweep.evaluation import Evaluation
from harness.sweep.space_table import parse_space
from harness.sweep.study import Record, Study

Make = Callable[..., Experiment]
Sweep = Callable[..., tuple[dict[str, Any], list[Any]]]

RATE = {"low": 1e-5, "high": 1e-1, "log": True}
OLD = {"grpo.learning_rate": RATE, "grpo.group_size": [2, 4, 8]}
NEW = {"grpo.learning_rate": RATE, "grpo.group_size": [4, 8, 16], "grpo.beta": [0.0, 0.1]}


def open_study(experiment: Experiment, folder: Path) -> Study:
    assert experiment.sweep is not None
    return Study(experiment, parse_space(experiment.sweep.space), f"sqlite:///{folder / 'study.db'}", "one")


def settings(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [trial["params"] for trial in summary["trials"]]


def test_another_space_is_shown_and_refused(make_experiment: Make, sweep_it: Sweep, tmp_path: Path) -> None:
    sweep_it(make_experiment(trials=1, space=OLD), tmp_path)
    with pytest.raises(UsageError) as caught:
        sweep_it(make_experiment(trials=1, space=NEW), tmp_path)
    sentence = str(caught.value)
    assert "--accept-space-change" in sentence
    assert "sweep.space.grpo.group_size: [2, 4, 8] -> [4, 8, 16]" in sentence
    assert "sweep.space.grpo.beta: (not there) -> [0.0, 0.1]" in sentence
    sweep_it(make_experiment(trials=1, space=OLD), tmp_path)  # and nothing has changed


def test_accepted_it_goes_on_with_every_trial(make_experiment: Make, sweep_it: Sweep, tmp_path: Path) -> None:
    old, _ = sweep_it(make_experiment(trials=6, space=OLD), tmp_path)
    options: dict[str, Any] = {"accept_space_change": True}
    new, events = sweep_it(make_experiment(trials=10, space=NEW, confirm_seeds=1), tmp_path, **options)
    assert {event.trial for event in events if event.kind == "started"} == {6, 7, 8, 9, None}
    for before, after in zip(old["trials"], new["trials"], strict=False):
        within = before["params"]["grpo.group_size"] != 2
        assert after["params"] == before["params"] | ({"grpo.beta": 0.0} if within else {})
        assert {**after, "params": None} == {**before, "params": None}
    assert {size["grpo.group_size"] for size in settings(new)[6:]} <= {4, 8, 16}
    again, _ = sweep_it(make_experiment(trials=10, space=NEW, confirm_seeds=1), tmp_path)
    assert settings(again) == settings(new)
    back, _ = sweep_it(make_experiment(trials=11, space=OLD), tmp_path, **options)
    assert settings(back)[:6] == settings(old)


def test_a_move_that_a_kill_cut_short_is_done_again(
    make_experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(make_experiment(trials=5, space=OLD), tmp_path)
    for value in (0.1, 0.2, 0.3):
        number, _ = study.ask()
        study.tell(number, "complete", Record(history=[Evaluation(1, value, 0.0)]))
    add = optuna.Study.add_trial

    def die(self: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.number == 1:
            raise KeyboardInterrupt
        add(self, trial)

    monkeypatch.setattr(optuna.Study, "add_trial", die)
    with pytest.raises(KeyboardInterrupt):
        open_study(make_experiment(trials=5, space=NEW), tmp_path)
    monkeypatch.setattr(optuna.Study, "add_trial", add)
    moved = open_study(make_experiment(trials=5, space=NEW), tmp_path)
    assert [trial.value for trial in moved.trials()] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("size", [2, 4])
def test_a_trial_at_work_keeps_its_settings(make_experiment: Make, tmp_path: Path, size: int) -> None:
    stage = {"group_size": size}
    number, params = open_study(make_experiment(space=OLD, stage=stage), tmp_path).ask()
    moved = open_study(make_experiment(space=NEW, stage=stage), tmp_path)
    [(same, kept)] = moved.running()
    assert same == number
    assert kept.items() >= params.items()
    assert moved.applied(number, kept).stages[0].group_size == size  # type: ignore[union-attr]
    assert (space_migration.OUTSIDE in moved.trials()[0].user_attrs) == (size == 2)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "cmaes", "qmc"])
def test_samplers_go_on_in_the_new_space(make_experiment: Make, tmp_path: Path, sampler: str) -> None:
    for space, trials in ((OLD, 6), (NEW, 12)):
        study = open_study(
            make_experiment(trials=trials, space=space, sampler=sampler, startup_trials=2), tmp_path
        )
        while len(study.trials(optuna.trial.TrialState.COMPLETE)) < trials:
            number, params = study.ask()
            study.tell(number, "complete", Record(history=[Evaluation(1, params["grpo.learning_rate"], 0.0)]))
    assert all(study.settings(trial).keys() == NEW.keys() for trial in study.trials()[6:])


def test_a_grid_is_of_one_space(make_experiment: Make, sweep_it: Sweep, tmp_path: Path) -> None:
    space = {"grpo.group_size": [2, 4]}
    sweep_it(make_experiment(trials=1, sampler="grid", space=space), tmp_path)
    other = make_experiment(trials=1, sampler="grid", space={"grpo.group_size": [4, 8]})
    with pytest.raises(UsageError, match="a grid is of one space"):
        sweep_it(other, tmp_path, accept_space_change=True)
