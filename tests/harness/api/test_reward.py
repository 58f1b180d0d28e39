"""Rewards of one's own from Python: by name or as functions, and refused where other processes need them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import GRPO, Experiment, UsageError, reward, sweep, train
from harness.config import RewardTerm, dump_toml
from harness.config.kinds import REWARDS
from harness.models.policy import Policy, save_policy
from harness.rewards import Rollout
from harness.rewards.length import length


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test adds is gone after it."""
    before = dict(REWARDS._added)
    yield
    REWARDS._added.clear()
    REWARDS._added.update(before)


def mine(module: str = "__main__") -> Callable[[Rollout], float]:
    """A function as a notebook's cell defines it."""

    def brief(rollout: Rollout) -> float:
        return -float(rollout.tokens)

    brief.__module__ = module
    return brief


def test_a_function_of_a_notebook_is_a_reward(
    make_random_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    save_policy(make_random_policy(max_position_embeddings=512), tmp_path / "model")
    small = {"steps": 1, "completions_per_step": 8, "group_size": 4, "max_tokens": 8, "checkpoint_every": 1}
    stage = GRPO(rewards={mine(): 0.5, "accuracy": 1.0}, **small)
    assert stage.rewards == {"brief": 0.5, "accuracy": 1.0}
    policy = {"model": str(tmp_path / "model"), "template": "tags"}
    run = train(
        Experiment(policy=policy, data="tiny-math:train[:8]", stages=stage), tmp_path / "r", quiet=True
    )
    row = run.metrics.iloc[-1]
    assert row["reward/brief"] == pytest.approx(-row["length"])
    assert set(run.samples.columns) >= {"step"}


def test_a_decorated_function_goes_by_the_name_it_was_given_and_is_replaced_by_the_next() -> None:
    function = reward("terse")(mine())
    assert GRPO(rewards={function: 1.0}).rewards == {"terse": 1.0}
    second = reward("terse")(mine())
    assert REWARDS.get("terse") is second
    with pytest.raises(UsageError, match="'length' cannot be added: the name is built in"):
        reward("length")(mine())


def test_a_function_that_can_be_imported_goes_by_its_module() -> None:
    assert GRPO(rewards={length: 1.0}).rewards == {"length": 1.0}
    stage = GRPO(rewards={subprocess.call: RewardTerm(weight=0.0, normalize=True), "accuracy": 1.0})
    assert stage.rewards["call"] == RewardTerm(weight=0.0, normalize=True, function="subprocess:call")
    wanted = Experiment(model="tiny", data="tiny-math:train", stages=stage)
    assert 'function = "subprocess:call"' in dump_toml(wanted)


def test_functions_without_a_name_or_with_the_same_are_refused() -> None:
    with pytest.raises(UsageError, match="has no name; write it with def"):
        GRPO(rewards={lambda attempt: 1.0: 1.0})
    with pytest.raises(UsageError, match="two rewards are called 'accuracy'"):
        GRPO(rewards={"accuracy": 1.0, _named("accuracy"): 1.0})


def _named(name: str) -> Callable[..., object]:
    from harness.rewards import accuracy

    function: Callable[..., object] = getattr(accuracy, name)
    return function


@pytest.mark.parametrize("where", ["stage", "space"])
def test_a_sweep_refuses_what_its_processes_could_not_import(where: str, tmp_path: Path) -> None:
    function = reward("terse")(mine())
    space = {"grpo.rewards.terse": [0.0, 1.0]} if where == "space" else {"grpo.beta": [0.0, 0.1]}
    stage = GRPO(rewards={function: 1.0}) if where == "stage" else GRPO()
    wanted = Experiment(model="tiny", data="tiny-math:train", stages=stage, sweep={"space": space})
    with pytest.raises(UsageError, match=r"put the function into a file .*my_rewards\.py:terse"):
        sweep(wanted, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_a_script_s_own_function_is_known_there(tmp_path: Path) -> None:
    script = tmp_path / "notebook.py"
    script.write_text(
        "from harness import GRPO\n"
        "def brief(attempt):\n    return 0.0\n"
        "print(GRPO(rewards={brief: 1.0}).rewards)\n"
    )
    said = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "{'brief': 1.0}"
