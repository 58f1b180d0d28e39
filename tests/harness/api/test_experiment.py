"""Experiments in Python are those of files, with the same checks and the same sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import GRPO, SFT, Experiment, UsageError, config
from harness.api.experiment import EMBEDDED, experiment_of
from harness.config import dump_toml, read_experiment
from harness.models.tiny.build import SIZES

TOML = """
name = "both"
policy = { model = "tiny", template = "tags" }
data = { train = "tiny-math:train[:50]", dev = "tiny-aime:dev[:4]" }
sweep = { trials = 2, space = { "grpo.beta" = [0.0, 0.1] } }
[[stages]]
kind = "sft"
data = "tiny-traces"
steps = 3
[[stages]]
kind = "grpo"
group_size = 4
epsilon = 0.3
rewards = { accuracy = 1.0, format = { weight = 0.1, normalize = true } }
"""


def test_an_experiment_in_python_is_the_one_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "both.toml"
    file.write_text(TOML)
    written = Experiment(
        name="both",
        model="tiny",
        data="tiny-math:train[:50]",
        dev="tiny-aime:dev[:4]",
        stages=[
            SFT(data="tiny-traces", steps=3),
            GRPO(
                group_size=4,
                epsilon=config.Epsilon(low=0.3, high=0.3),
                rewards={"accuracy": 1.0, "format": config.RewardTerm(weight=0.1, normalize=True)},
            ),
        ],
        sweep={"trials": 2, "space": {"grpo.beta": [0.0, 0.1]}},
    )
    assert dump_toml(written) == dump_toml(read_experiment([file]))
    assert dump_toml(experiment_of(file)) == dump_toml(experiment_of(written))


def test_whole_tables_are_taken_too() -> None:
    short = Experiment(model="org/model", data=["tiny-math:train"], stages=GRPO())
    whole = Experiment(
        policy=config.Policy(model="org/model"),
        data=config.Data(train=["tiny-math:train"]),
        stages=[{"kind": "grpo"}],
    )
    assert dump_toml(short) == dump_toml(whole)


def test_embedded_policies_get_the_template_that_they_know() -> None:
    assert set(EMBEDDED) == set(SIZES)
    assert Experiment(model="tiny", data="tiny-math").policy.template == "tags"
    assert Experiment(policy={"model": "tiny"}, data="tiny-math").policy.template == "auto"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: GRPO(gropu_size=4), "GRPO: unknown key grpo.gropu_size; did you mean 'group_size'"),  # type: ignore[call-arg]
        (lambda: GRPO(group_size=3), r"completions_per_step \(256\) must be a multiple of group_size \(3\)"),
        (SFT, "SFT: sft.data: Field required"),
        (lambda: Experiment(data="tiny-math"), "give either model"),
        (lambda: Experiment(model="tiny", policy={"model": "tiny"}, data="tiny-math"), "give either model"),
        (lambda: Experiment(model="tiny", data={"train": "a"}, dev="b"), "leave out dev="),
        (lambda: Experiment(model="tiny", data="tiny-math", seed=-1), "Experiment: seed: "),
        (
            lambda: Experiment(model="tiny", data="tiny-math", stages=[GRPO(), GRPO()]),
            "stages must have distinct names",
        ),
    ],
)
def test_a_mistake_is_told_in_a_sentence(make: object, told: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=told):
        make()
