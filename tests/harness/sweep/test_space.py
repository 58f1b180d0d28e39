"""The search space: what TOML says, what Optuna searches, what the schema is asked before any compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from evals.base.errors import UsageError
from harness.config import Experiment
from harness.sweep.space_table import parse_space

Make = Callable[..., Experiment]


def test_forms_become_distributions() -> None:
    space = parse_space(
        {
            "grpo.group_size": [4, 8],
            "grpo.beta": {"low": 1e-4, "high": 0.1, "log": True},
            "grpo.epochs": {"low": 1, "high": 4},
            "grpo.temperature": {"low": 0.5, "high": 1, "step": 0.25},
            "grpo.rewards": {"presets": {"plain": {"accuracy": 1.0}}},
        }
    )
    assert {s.key: s.distribution for s in space.settings} == {
        "grpo.group_size": CategoricalDistribution((4, 8)),
        "grpo.beta": FloatDistribution(1e-4, 0.1, log=True),
        "grpo.epochs": IntDistribution(1, 4),
        "grpo.temperature": FloatDistribution(0.5, 1.0, step=0.25),
        "grpo.rewards": CategoricalDistribution(("plain",)),
    }


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (0.1, "list of choices"),
        ([], "at least one"),
        ([1, 1], "twice"),
        ({"low": 1}, "must be numbers"),
        ({"low": 0.2, "high": 0.1}, "grpo.beta"),
        ({"low": 0.0, "high": 0.1, "log": True}, "grpo.beta"),
        ({"low": "a", "high": 0.1}, "must be numbers"),
        ({"low": 0.0, "high": float("inf")}, "finite"),
        ({"low": 0.1, "high": 0.45, "step": 0.1}, "whole number of steps"),
        ({"low": 1, "high": 4, "step": 0}, "whole number of steps"),
        ({"low": 0.1, "high": 0.2, "hihg": 1}, "accepted: low, high, log, step"),
        ({"low": 0.1, "high": 0.2, "choices": [1]}, "needs one of"),
        ({"low": 0.1, "high": 0.2, "log": "yes"}, "true or false"),
        ({"low": 0.1, "high": 0.2, "when": 3}, "when must be a table"),
        ({"presets": [1]}, "presets must be"),
    ],
)
def test_a_bad_entry_is_refused_by_its_key(entry: Any, words: str) -> None:
    with pytest.raises(UsageError, match=r"grpo\.beta") as caught:
        parse_space({"grpo.beta": entry})
    assert words in str(caught.value)


def test_an_empty_space_and_a_circle_are_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        parse_space({})
    with pytest.raises(UsageError, match="circle"):
        parse_space(
            {
                "grpo.a": {"choices": [1], "when": {"grpo.b": 1}},
                "grpo.b": {"choices": [1], "when": {"grpo.a": 1}},
            }
        )


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"grpo.group_size": [4, 5]}, "grpo.group_size = 5"),  # 32 completions a step
        ({"grpo.group_size": {"low": 2, "high": 4}}, "grpo.group_size = 3"),  # fails inside, not at the ends
        ({"grpo.beta": {"low": -0.1, "high": 0.1}}, "grpo.beta = -0.1"),
        ({"grpo.betta": [0.1]}, "betta"),
        ({"sft.beta": [0.1]}, "sft.beta"),
        ({"grpo.kl_estimator": ["k3", "k9"]}, "grpo.kl_estimator = k9"),
        ({"grpo": [1]}, "must be presets"),
        # each is fine alone; 32 / 8 groups are not divisible by 8
        (
            {"grpo.group_size": [2, 8], "grpo.minibatches": [1, 8]},
            "grpo.group_size = 8, grpo.minibatches = 8",
        ),
    ],
)
def test_the_schema_is_asked_before_any_compute(
    make_experiment: Make, space: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_space(space).check(make_experiment())
    assert words in str(caught.value)


def test_a_large_space_is_checked_by_a_sample_of_its_combinations(make_experiment: Make) -> None:
    ranges = {f"grpo.rewards.{name}": {"low": 0.0, "high": 1.0} for name in "abcdefghijklmnop"}
    parse_space(ranges).check(make_experiment())


def test_presets_replace_a_setting_or_fill_a_stage(make_experiment: Make) -> None:
    space = parse_space(
        {
            "grpo.rewards": {
                "presets": {"plain": {"accuracy": 1.0}, "shaped": {"accuracy": 1.0, "format": 0.5}}
            },
            "grpo": {"presets": {"dapo": {"aggregation": "dapo", "epsilon": {"low": 0.2, "high": 0.28}}}},
            "grpo.temperature": [{"low": 0.1}, 0.7],
        }
    )
    params = {"grpo.rewards": "shaped", "grpo": "dapo", "grpo.temperature": 0.7}
    stage = space.apply(make_experiment(), params).stages[0]
    assert stage.rewards == {"accuracy": 1.0, "format": 0.5}
    assert (stage.aggregation, stage.epsilon.high, stage.temperature) == ("dapo", 0.28, 0.7)


def test_a_trial_has_no_sweep_and_no_benchmarks(make_experiment: Make) -> None:
    trial = parse_space({"grpo.beta": [0.1]}).apply(make_experiment(), {"grpo.beta": 0.1}, "swept-trial-3")
    assert (trial.name, trial.sweep, trial.eval.benchmarks, trial.stages[0].beta) == (
        "swept-trial-3",
        None,
        [],
        0.1,
    )


CONDITIONAL = {
    "grpo.reference.steps": {"low": 8, "high": 64, "when": {"grpo.reference.refresh": ["every", "ema"]}},
    "grpo.reference.decay": {
        "low": 0.1,
        "high": 0.9,
        "when": {"grpo.reference.refresh": "ema", "grpo.epochs": 1},
    },
    "grpo.reference.refresh": ["never", "every", "ema"],
    "grpo.max_tokens": {"choices": [8, 16], "when": {"grpo.epochs": 2}},
}


def test_conditional_settings_are_asked_for_where_they_count(make_experiment: Make) -> None:
    space = parse_space(CONDITIONAL)
    space.check(make_experiment())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = {frozenset(space.suggest(study.ask(), make_experiment())) for _ in range(40)}
    refresh, steps, decay = "grpo.reference.refresh", "grpo.reference.steps", "grpo.reference.decay"
    assert seen == {frozenset({refresh}), frozenset({refresh, steps}), frozenset({refresh, steps, decay})}


def test_a_table_of_a_condition_is_searched_where_it_holds(make_experiment: Make) -> None:
    kind, rate, epochs = "grpo.loss.kind", "grpo.loss.temperature_negative", "grpo.epochs"
    under = {rate: {"low": 1.0, "high": 2.0}, epochs: [1, 2]}
    experiment = make_experiment(space={kind: ["clip", "sapo"], f"{kind}=sapo": under})
    assert experiment.sweep is not None
    assert experiment.sweep.space[epochs] == {"choices": [1, 2], "when": {kind: "sapo"}}
    space = parse_space(experiment.sweep.space)
    space.check(experiment)
    for loss, keys in (("clip", {kind}), ("sapo", {kind, rate, epochs})):
        fixed = optuna.trial.FixedTrial({kind: loss, rate: 1.5, epochs: 2})
        assert space.suggest(fixed, experiment).keys() == keys  # type: ignore[arg-type]
    applied = space.apply(experiment, {kind: "sapo", rate: 1.5}).model_dump(mode="json")
    assert applied["stages"][0]["loss"]["temperature_negative"] == 1.5


@pytest.mark.parametrize("searched", ["grpo.loss", "grpo.loss.kind"])
@pytest.mark.parametrize("named", ["grpo.loss", "grpo.loss.kind"])
def test_a_condition_names_a_choice_by_its_key_or_its_kind(
    make_experiment: Make, searched: str, named: str
) -> None:
    rate = "grpo.loss.temperature_negative"
    under = {f"{named}=sapo": {rate: {"low": 1.0, "high": 2.0}}}
    experiment = make_experiment(space={searched: ["clip", "sapo"], **under})
    assert experiment.sweep is not None
    space = parse_space(experiment.sweep.space)
    space.check(experiment)
    for loss, keys in (("clip", {searched}), ("sapo", {searched, rate})):
        fixed = optuna.trial.FixedTrial({searched: loss, rate: 1.5})
        assert space.suggest(fixed, experiment).keys() == keys  # type: ignore[arg-type]


@pytest.mark.parametrize("named", ["grpo.loss", "grpo.loss.kind"])
def test_a_choice_with_settings_meets_a_condition_by_its_kind(make_experiment: Make, named: str) -> None:
    epochs, sapo = "grpo.epochs", {"kind": "sapo", "temperature_negative": 1.5}
    space = {"grpo.loss": ["clip", sapo], epochs: {"choices": [1, 2], "when": {named: "sapo"}}}
    experiment = make_experiment(space=space)
    parsed = parse_space(space)
    parsed.check(experiment)
    assert len(parsed.points(experiment)) == 3
    fixed = parse_space({epochs: space[epochs]})
    assert fixed.points(experiment) == [{}]
    given = experiment.model_dump(mode="json", exclude_none=True)
    given["stages"][0]["loss"] = sapo
    assert len(fixed.points(Experiment.model_validate(given))) == 2


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({"grpo.loss.kind=sapo": [1, 2]}, "must be a table"),
        ({"grpo.epochs": [1], "grpo.loss.kind=sapo": {"grpo.epochs": [1, 2]}}, "grpo.epochs is there twice"),
    ],
)
def test_a_condition_without_a_table_or_of_a_setting_that_is_there_is_refused(
    make_experiment: Make, space: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        make_experiment(space=space)


def test_a_conditional_contradiction_is_found_under_its_condition(make_experiment: Make) -> None:
    space = {
        **CONDITIONAL,
        "grpo.reference.decay": {"choices": [2.0], "when": {"grpo.reference.refresh": "ema"}},
    }
    with pytest.raises(UsageError, match=r"grpo.reference.decay = 2.0"):
        parse_space(space).check(make_experiment())


def test_nearest_is_the_experiments_own_point(make_experiment: Make) -> None:
    space = parse_space(
        {
            "grpo.group_size": [2, 4],
            "grpo.beta": {"low": 1e-4, "high": 0.1, "log": True},  # the experiment has 0
            "grpo.epsilon": {"low": 0.1, "high": 0.4},  # a table with both sides equal
            "grpo.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
            "grpo.epochs": [2, 3],  # the experiment has 1: left to the sampler
            "grpo.warmup_steps": {"low": 4, "high": 10, "step": 3},
        }
    )
    assert space.nearest(make_experiment()) == {
        "grpo.group_size": 4,
        "grpo.beta": 1e-4,
        "grpo.epsilon": 0.2,
        "grpo.learning_rate": 1e-3,
        "grpo.warmup_steps": 4,
    }


def test_points_of_a_grid(make_experiment: Make) -> None:
    space = parse_space(
        {"grpo.group_size": [2, 8], "grpo.temperature": {"low": 0.5, "high": 1.0, "step": 0.25}}
    )
    points = space.points(make_experiment())
    assert len(points) == 6
    assert {"grpo.group_size": 8, "grpo.temperature": 0.75} in points
    with pytest.raises(UsageError, match="grid"):
        parse_space({"grpo.beta": {"low": 0.1, "high": 0.2}}).points(make_experiment())
    conditional = parse_space({**CONDITIONAL, "grpo.reference.decay": [0.5]}).points(make_experiment())
    assert len(conditional) == 1 + 57 + 57


@settings(deadline=None)
@given(
    low=st.integers(1, 40),
    steps=st.integers(0, 12),
    step=st.integers(1, 7),
    own=st.integers(1, 100),
)
def test_the_nearest_value_is_in_the_range(low: int, steps: int, step: int, own: int) -> None:
    raw = {
        "name": "x",
        "policy": {"model": "tiny"},
        "data": {"train": "a:b"},
        "stages": [{"kind": "grpo", "max_tokens": own}],
    }
    space = parse_space({"grpo.max_tokens": {"low": low, "high": low + steps * step, "step": step}})
    value = space.nearest(Experiment.model_validate(raw))["grpo.max_tokens"]
    every = range(low, low + steps * step + 1, step)
    assert value in every
    assert abs(value - own) == min(abs(v - own) for v in every)
