"""Dotted keys with quotes: read, written, and used by overrides and search spaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.base.errors import UsageError
from harness.config import read_experiment
from harness.config.keys import join_key, split_assignment, split_key
from harness.sweep.space_table import parse_space

EXPERIMENT = """
name = "one"
[policy]
model = "tiny"
[data]
train = "gsm8k:train"
[[stages]]
kind = "grpo"
[stages.rewards]
accuracy = 1.0
"{reward}" = 0.1
"""


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("grpo.beta", ["grpo", "beta"]),
        ('grpo.rewards."my.py:short"', ["grpo", "rewards", "my.py:short"]),
        ("grpo.rewards.'my.py:short'", ["grpo", "rewards", "my.py:short"]),
        ('grpo.rewards."a \\"b\\" = c"', ["grpo", "rewards", 'a "b" = c']),
        ("grpo.rewards.rewards:brevity", ["grpo", "rewards", "rewards:brevity"]),
    ],
)
def test_quotes_keep_a_dot_inside_a_part(key: str, parts: list[str]) -> None:
    assert split_key(key) == parts
    assert split_key(join_key(parts)) == parts


@pytest.mark.parametrize("key", ["", "grpo..beta", 'grpo."beta', "grpo.beta.", 'grpo."my.py"x'])
def test_a_key_that_cannot_be_read_is_told(key: str) -> None:
    with pytest.raises(UsageError, match=r'cannot be read: accepted are parts .*"my\.py:short"'):
        split_key(key)


def test_an_assignment_is_cut_at_the_first_equals_sign_outside_quotes() -> None:
    assert split_assignment('grpo.rewards."f(x=1)"=0.5') == ('grpo.rewards."f(x=1)"', "0.5")
    assert split_assignment("a.'b'= 'c=d'") == ("a.b", " 'c=d'")
    assert split_assignment("beta") is None
    assert split_assignment("=1") is None


def test_an_override_reaches_a_reward_that_is_a_file_and_its_mistakes_name_the_key(tmp_path: Path) -> None:
    code, file = tmp_path / "my.py", tmp_path / "one.toml"
    code.write_text("def short(attempt):\n    return -1.0\n")
    reward = f"{code}:short"
    file.write_text(EXPERIMENT.format(reward=reward))
    experiment = read_experiment([file], [f'grpo.rewards."{reward}"=0.5'])
    assert experiment.stages[0].rewards[reward] == 0.5  # type: ignore[union-attr]
    with pytest.raises(UsageError) as refused:
        read_experiment([file], [f"grpo.rewards.'{reward}'=wide"])
    assert str(refused.value).startswith(f'-s grpo.rewards."{reward}": grpo.rewards."{reward}"')


def test_a_space_searches_over_a_key_with_a_dot(tmp_path: Path) -> None:
    reward = f"{tmp_path}/my.py:short"
    (tmp_path / "my.py").write_text("def short(attempt):\n    return -1.0\n")
    file = tmp_path / "one.toml"
    file.write_text(EXPERIMENT.format(reward=reward))
    experiment = read_experiment([file])
    key = f'grpo.rewards."{reward}"'
    applied = parse_space({key: [0.25, 0.5]}).apply(experiment, {key: 0.25})
    assert applied.stages[0].rewards[reward] == 0.25  # type: ignore[union-attr]
