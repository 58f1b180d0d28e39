"""What a sampler is shown of a study with many trials."""

from __future__ import annotations

import random

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from harness.sweep import history
from harness.sweep.history import View

KINDS = {"x": FloatDistribution(0.0, 1.0)}


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    monkeypatch.setattr(history, "NEWEST", 40)
    monkeypatch.setattr(history, "BEST", 30)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize")


def add(study: optuna.Study, rng: random.Random, count: int) -> None:
    """Trials of all kinds: complete ones, some beyond a constraint, pruned ones, and one at work."""
    for _ in range(count):
        trial = study.ask(KINDS)
        kind = rng.choice(["complete", "complete", "infeasible", "pruned"])
        if kind == "infeasible":
            trial.set_constraint("kl", 1.0)
        if kind == "pruned":
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, rng.random())
    study.ask(KINDS)


def seen(one: View) -> list[int]:
    one.look_again()
    return [trial.number for trial in one.get_trials(deepcopy=False)]


def bounded(study: optuna.Study) -> View:
    one = View(study.study_name, study._storage)
    one.bounded = True
    return one


def test_the_newest_the_best_and_those_at_work_are_seen(study: optuna.Study) -> None:
    rng = random.Random(0)
    grown = bounded(study)
    for _ in range(4):
        add(study, rng, 60)
        shown = seen(grown)
        assert shown == seen(bounded(study)) == sorted(set(shown))  # however often one has looked before
        trials = study.get_trials(deepcopy=False)
        assert shown[-40:] == [trial.number for trial in trials[-40:]]
        old = trials[:-40]
        at_work = {trial.number for trial in old if trial.state is TrialState.RUNNING}
        allowed = [t for t in old if t.state is TrialState.COMPLETE and not t.constraints]
        best = sorted(allowed, key=lambda trial: -trial.values[0])[:30]
        assert set(shown[:-40]) == at_work | {trial.number for trial in best}


def test_a_trial_that_ends_late_joins_the_best(study: optuna.Study) -> None:
    late = study.ask(KINDS)
    one = bounded(study)
    rng = random.Random(1)
    add(study, rng, 200)
    assert late.number in seen(one)
    study.tell(late, 2.0)
    assert late.number in seen(one)
    worst = study.ask(KINDS)
    add(study, rng, 200)
    study.tell(worst, -1.0)
    assert worst.number not in seen(one)


def test_all_are_seen_unless_it_is_bounded(study: optuna.Study) -> None:
    add(study, random.Random(2), 200)
    assert len(seen(View(study.study_name, study._storage))) == 201


def test_it_is_asked_for_no_trial_that_waits_where_none_does(study: optuna.Study) -> None:
    one = View(study.study_name, study._storage)
    study.enqueue_trial({"x": 0.25})
    one.queued = False
    assert one.ask(KINDS).number == 1
    one.queued = True
    assert one.ask(KINDS).number == 0
