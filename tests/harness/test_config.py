"""The experiment schema: what is read back, and what is refused in which words."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.arms import arm_experiment
from harness.config import Epsilon, dump_toml, read_experiment
from harness.errors import UsageError
from harness.shipped import experiment_file
from harness.sweep.space import parse_space

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

EXPERIMENT = """
name = "one"
[policy]
model = "tiny"
[data]
train = "gsm8k:train"
[[stages]]
kind = "grpo"
completions_per_step = 256
group_size = 8
epsilon = 0.2
[stages.rewards]
accuracy = 1.0
[sweep.space]
"grpo.group_size" = [4, 8]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(EXPERIMENT)
    return path


def test_the_dump_reads_back_as_the_same_experiment(file: Path, tmp_path: Path) -> None:
    experiment = read_experiment([file])
    again = tmp_path / "again.toml"
    again.write_text(dump_toml(experiment))
    assert read_experiment([again]) == experiment


def test_one_epsilon_sets_both_sides_and_one_side_can_be_overridden(file: Path) -> None:
    assert read_experiment([file]).stages[0].epsilon == Epsilon(low=0.2, high=0.2)
    assert read_experiment([file], ["grpo.epsilon.high=0.28"]).stages[0].epsilon == Epsilon(
        low=0.2, high=0.28
    )


def test_files_overlay_left_to_right_and_overrides_come_last(file: Path, tmp_path: Path) -> None:
    over = tmp_path / "over.toml"
    over.write_text('seed = 3\n[policy]\nmodel = "other"\n')
    experiment = read_experiment([file, over], ["seed=4", "grpo.rewards.format=0.5"])
    assert (experiment.seed, experiment.policy.model) == (4, "other")
    assert experiment.stages[0].rewards == {"accuracy": 1.0, "format": 0.5}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("grpo.foo=1", r"unknown key grpo\.foo; accepted: kind, name, steps"),
        ("grpo.group_size=7", r"completions_per_step \(256\) must be a multiple of group_size \(7\)"),
        ("grpo.group_size=1", r"group_size: Input should be greater than or equal to 2, got 1"),
        ("grpo.beta=-1", r"grpo\.beta: Input should be greater than or equal to 0, got -1"),
        ("grpo.beta=high", r"beta: Input should be a valid number.*got 'high'"),
        ("grpo.epsilon.mid=1", r"unknown key grpo\.epsilon\.mid; accepted: low, high"),
        ("ppo.beta=1", r"unknown key 'ppo\.beta': it must start with one of grpo, name"),
        ("policy.flavour=1", r"unknown key policy\.flavour; accepted: model, revision"),
        ("sweep.sampler=magic", r"sweep\.sampler: Input should be 'tpe'"),
        ("name=a/b", r"name: String should match pattern"),
        ("beta", r"-s beta: must be key=value"),
    ],
)
def test_what_is_refused_is_named(file: Path, override: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_experiment([file], [override])


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.toml: no such file"):
        read_experiment([tmp_path / "missing.toml"])
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(UsageError, match=r"broken\.toml: not valid TOML"):
        read_experiment([broken])
    with pytest.raises(UsageError, match="is a folder"):
        read_experiment([tmp_path])


def test_two_stages_of_one_name_are_refused(file: Path) -> None:
    file.write_text(EXPERIMENT.replace("[sweep.space]", '[[stages]]\nkind = "grpo"\n[sweep.space]'))
    with pytest.raises(UsageError, match="stages must have different names"):
        read_experiment([file])


@given(st.text(max_size=40))
def test_no_override_raises_anything_else(text: str) -> None:
    with contextlib.suppress(UsageError):
        read_experiment([experiment_file("quickstart")], [text])


def test_the_shipped_experiments_are_valid() -> None:
    folder = experiment_file("quickstart").parent
    for path in sorted(folder.glob("*.toml")):
        assert read_experiment([path]).name == path.stem
    with pytest.raises(UsageError, match="no experiment 'none'"):
        experiment_file("none")


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_experiment_that_comes_along_is_valid(path: Path) -> None:
    experiment = read_experiment([path])
    assert experiment.stages or experiment.compare
    if experiment.sweep is not None:
        parse_space(experiment.sweep.space).check(experiment)
    for name in experiment.compare.arms if experiment.compare else ():
        assert arm_experiment(experiment, name, 1).stages
