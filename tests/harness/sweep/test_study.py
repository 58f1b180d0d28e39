"""The study: every sampler by name, the same proposals however often it is opened, each trial told once."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import Engine, event, inspect
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from evals.base.errors import JobError, UsageError
from harness.config import Experiment
from harness.sweep import study as study_module
from harness.sweep.evaluation import Evaluation
from harness.sweep.sampler import trial_seed
from harness.sweep.space_table import parse_space
from harness.sweep.study import Record, Study
from harness.sweep.summary import Selection

Make = Callable[..., Experiment]
MIXED = {
    "grpo.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "grpo.beta": {"low": 0.0, "high": 0.1},
    "grpo.group_size": [2, 4, 8],
    "grpo.reference.refresh": ["never", "every"],
    "grpo.reference.steps": {"low": 8, "high": 64, "when": {"grpo.reference.refresh": "every"}},
}


def open_study(experiment: Experiment, folder: Path, identity: str = "one") -> Study:
    assert experiment.sweep is not None
    space = parse_space(experiment.sweep.space)
    return Study(experiment, space, f"sqlite:///{folder / 'study.db'}", identity)


def value_of(params: dict[str, Any]) -> float:
    return -(((params["grpo.learning_rate"] - 1e-3) * 100) ** 2) - params["grpo.beta"]


def run_to_the_end(study: Study) -> list[dict[str, Any]]:
    proposed = []
    while len(study.trials(*FINISHED)) < study.total:
        number, params = study.ask()
        proposed.append(params)
        evaluation = Evaluation(10, value_of(params), 0.01)
        study.report(number, evaluation)
        study.tell(number, "complete", Record(history=[evaluation]))
    return proposed


FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "nsga2", "cmaes", "qmc"])
def test_a_sampler_proposes_the_same_trials_when_the_study_is_opened_again_for_each(
    make_experiment: Make, tmp_path: Path, sampler: str
) -> None:
    experiment = make_experiment(trials=9, sampler=sampler, startup_trials=3, space=MIXED)
    for name in ("at once", "piecemeal"):
        (tmp_path / name).mkdir()
    at_once = run_to_the_end(open_study(experiment, tmp_path / "at once"))
    piecemeal = []
    for _ in range(9):
        study = open_study(experiment, tmp_path / "piecemeal")
        number, params = study.ask()
        piecemeal.append(params)
        study.tell(number, "complete", Record(history=[Evaluation(10, value_of(params), 0.01)]))
    assert piecemeal == at_once
    assert at_once[0] == {
        "grpo.learning_rate": 1e-3,
        "grpo.beta": 0.0,
        "grpo.group_size": 4,
        "grpo.reference.refresh": "never",
    }
    assert len({tuple(sorted(params.items())) for params in at_once}) == 9


def test_another_seed_proposes_other_trials(make_experiment: Make, tmp_path: Path) -> None:
    proposals = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        proposals.append(
            run_to_the_end(open_study(make_experiment(seed=seed, space=MIXED), tmp_path / str(seed)))
        )
    assert proposals[0][0] == proposals[1][0]  # the experiment's own settings
    assert proposals[0][1:] != proposals[1][1:]
    assert len({trial_seed(seed, number) for seed in range(30) for number in range(30)}) == 900


def test_the_grid_is_walked_once_and_the_experiments_own_point_first(
    make_experiment: Make, tmp_path: Path
) -> None:
    space = {"grpo.group_size": [2, 4], "grpo.beta": {"low": 0.0, "high": 0.2, "step": 0.1}}
    space["grpo.learning_rate"] = [1e-3, 1e-4]
    experiment = make_experiment(trials=100, sampler="grid", space=space)
    study = open_study(experiment, tmp_path)
    assert study.total == 12
    proposed = run_to_the_end(study)
    assert proposed[0] == {"grpo.group_size": 4, "grpo.beta": 0.0, "grpo.learning_rate": 1e-3}
    assert len({tuple(sorted(params.items())) for params in proposed}) == 12
    assert len(open_study(experiment, tmp_path).trials()) == 12


def test_a_grid_can_be_extended(make_experiment: Make, tmp_path: Path) -> None:
    space = {"grpo.group_size": [2, 4, 8], "grpo.beta": [0.0, 0.1], "grpo.learning_rate": [1e-3]}
    first = run_to_the_end(open_study(make_experiment(trials=2, sampler="grid", space=space), tmp_path))
    rest = run_to_the_end(open_study(make_experiment(trials=6, sampler="grid", space=space), tmp_path))
    assert len({tuple(sorted(params.items())) for params in first + rest}) == 6


def test_a_trial_asked_by_halves_is_completed_as_it_would_have_been(
    make_experiment: Make, tmp_path: Path
) -> None:
    """As a dispatcher leaves it that was killed between two settings."""
    experiment = make_experiment(trials=8, space=MIXED)
    for name in ("whole", "half"):
        (tmp_path / name).mkdir()
    expected = run_to_the_end(open_study(experiment, tmp_path / "whole"))
    study = open_study(experiment, tmp_path / "half")
    for _ in range(5):
        number, params = study.ask()
        study.tell(number, "complete", Record(history=[Evaluation(10, value_of(params), 0.01)]))
    bare = optuna.load_study(study_name="swept", storage=f"sqlite:///{tmp_path / 'half' / 'study.db'}")
    bare.ask().suggest_categorical("grpo.group_size", (2, 4, 8))
    [(number, params)] = open_study(experiment, tmp_path / "half").running()
    kept = params.pop("grpo.group_size")
    assert number == 5
    assert kept in (2, 4, 8)
    assert params == {key: value for key, value in expected[5].items() if key != "grpo.group_size"}


def test_a_trial_is_told_once_and_keeps_its_record(make_experiment: Make, tmp_path: Path) -> None:
    study = open_study(make_experiment(), tmp_path)
    number, _ = study.ask()
    history = [Evaluation(2, 0.5, 0.01), Evaluation(4, 0.25, 0.02)]
    for evaluation in [*history, Evaluation(4, 0.9, 0.02)]:  # a step's first value stays
        study.report(number, evaluation)
    record = Record(history=history, attempts=2, seconds=3.5, reason="step 4", run="trials/0/attempt-2")
    study.tell(number, "pruned", record)
    study.tell(number, "complete", Record(history=history))
    [trial] = open_study(make_experiment(), tmp_path).trials(*FINISHED)
    assert trial.state is TrialState.PRUNED
    assert trial.intermediate_values == {2: 0.5, 4: 0.25}
    assert Record.of(trial) == record


def test_storage_that_does_not_answer_and_a_name_that_is_taken_are_refused(
    make_experiment: Make, tmp_path: Path
) -> None:
    experiment = make_experiment()
    open_study(experiment, tmp_path, identity="one")
    with pytest.raises(UsageError, match="another folder"):
        open_study(experiment, tmp_path, identity="two")
    space = parse_space(MIXED)
    for address in (
        "sqlite:////no/such/folder/study.db",
        "nonsense",
        "postgresql://me:secret@127.0.0.1:1/none",
    ):
        with pytest.raises(UsageError, match="storage") as caught:
            Study(experiment, space, address, "one")
        assert "secret" not in str(caught.value)
    with pytest.raises(UsageError, match="direction"):
        open_study(make_experiment(direction="minimize"), tmp_path)


def test_importances_find_the_setting_that_counts(make_experiment: Make, tmp_path: Path) -> None:
    space = {"grpo.learning_rate": MIXED["grpo.learning_rate"], "grpo.beta": {"low": 0.0, "high": 0.1}}
    study = open_study(make_experiment(trials=30, sampler="random", space=space), tmp_path)
    assert study.importances() == {}
    for _ in range(30):
        number, params = study.ask()
        evaluation = Evaluation(1, -abs(params["grpo.learning_rate"] - 1e-3), 0.0)
        study.tell(number, "complete", Record(history=[evaluation]))
    importances = study.importances()
    assert importances["grpo.learning_rate"] > 3 * importances["grpo.beta"]


@pytest.mark.parametrize("seed", range(4))
def test_a_storage_that_is_away_for_a_while_loses_nothing(
    seed: int, make_experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement or commit in twenty fails, before it was done or, worse, after."""
    monkeypatch.setattr(study_module, "STORAGE_PAUSE", 0.0)
    experiment = make_experiment(trials=7, space=MIXED)
    for name in ("well", "ill"):
        (tmp_path / name).mkdir()
    expected = run_to_the_end(open_study(experiment, tmp_path / "well"))
    study = open_study(experiment, tmp_path / "ill")
    chance = random.Random(seed)
    failures = 0

    def fail(*_: Any) -> None:
        nonlocal failures
        if chance.random() < 0.05:
            failures += 1
            raise OperationalError("the database is away", None, Exception())

    engine = study._study._storage._backend.engine  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", fail)
    commit = Session.commit

    def commit_and_fail(self: Session) -> None:
        commit(self)
        fail()

    monkeypatch.setattr(Session, "commit", commit_and_fail)
    done = 0
    proposed = []
    while done < study.total:
        number, params = study.ask()
        assert number == done
        proposed.append(params)
        evaluation = Evaluation(10, value_of(params), 0.01)
        study.report(number, evaluation)
        study.tell(number, "complete", Record(history=[evaluation]))
        done += 1
    event.remove(engine, "before_cursor_execute", fail)
    monkeypatch.setattr(Session, "commit", commit)
    assert failures > 10
    assert proposed == expected
    assert [t.value for t in study.trials()] == [value_of(params) for params in expected]


def test_a_storage_that_stays_away_ends_the_sweep_in_one_sentence(
    make_experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "STORAGE_PAUSE", 0.0)
    monkeypatch.setattr(study_module, "STORAGE_PATIENCE", 0.1)
    study = open_study(make_experiment(), tmp_path)
    (tmp_path / "study.db").rename(tmp_path / "away.db")
    study._study._storage._backend.engine.dispose()  # type: ignore[attr-defined]
    with pytest.raises(JobError, match="storage does not answer"):
        study.ask()


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "cmaes"])
@pytest.mark.parametrize("ended", [0, 6])
def test_a_trial_whose_asking_was_cut_short_is_the_one_it_would_have_been(
    make_experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, ended: int
) -> None:
    space = {
        "grpo.learning_rate": {"low": 1e-6, "high": 1e-2, "log": True},
        "grpo.group_size": [2, 4, 8],
        "grpo.beta": {"low": 0.0, "high": 0.1},
    }
    experiment = make_experiment(trials=20, sampler=sampler, startup_trials=3, space=space)

    def begun(name: str) -> Study:
        (tmp_path / name).mkdir()
        study = open_study(experiment, tmp_path / name)
        for number in range(ended + 1):  # the first is the experiment's own settings
            study.ask()
            study.tell(number, "complete", Record(history=[Evaluation(1, 0.1 * number, 0.01)]))
        return study

    expected = begun("whole").ask()
    study, suggest = begun("cut"), optuna.Trial.suggest_categorical

    def die(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(optuna.Trial, "suggest_categorical", die)
    with pytest.raises(KeyboardInterrupt):
        study.ask()
    monkeypatch.setattr(optuna.Trial, "suggest_categorical", suggest)
    assert open_study(experiment, tmp_path / "cut").running() == [expected]


@pytest.mark.parametrize(
    "cut", ["CREATE UNIQUE INDEX", "CREATE TABLE trial_values", "INSERT INTO version_info"]
)
def test_a_storage_whose_making_was_cut_short_is_made_anew(
    cut: str, make_experiment: Make, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def kill(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.strip().startswith(cut):
            raise Killed

    event.listen(Engine, "before_cursor_execute", kill)
    try:
        with pytest.raises(Killed):
            open_study(make_experiment(), tmp_path)
    finally:
        event.remove(Engine, "before_cursor_execute", kill)
    for _ in range(3):
        study = open_study(make_experiment(), tmp_path)
    indices = inspect(study._study._storage._backend.engine).get_indexes("studies")  # type: ignore[attr-defined]
    assert [index["column_names"] for index in indices if index["unique"]] == [["study_name"]]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".new"] == []


def test_optuna_dashboard_shows_the_metric_and_the_verdict(make_experiment: Make, tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    study = open_study(make_experiment(trials=1, space=MIXED), tmp_path)
    run_to_the_end(study)
    study.conclude(Selection(verdict="Trial 0 did best."))
    environment: dict[str, Any] = {"PATH_INFO": "/api/studies/1"}
    setup_testing_defaults(environment)
    served = dashboard.wsgi(f"sqlite:///{tmp_path / 'study.db'}")(environment, lambda *_: None)
    shown = json.loads(b"".join(served))
    assert shown["objective_names"] == ["dev/pass@1"]
    assert {"key": "verdict", "value": "Trial 0 did best."} in shown["user_attrs"]
