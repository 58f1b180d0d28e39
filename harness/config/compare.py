"""What ``[compare]`` comes to: the experiment of each arm's runs, its tuning, the policies it starts from."""

from __future__ import annotations

from harness.config.experiment import Experiment
from harness.config.load import validate
from harness.config.model import Policy
from harness.config.sweep import Sweep

BASE = "base"
"""The name that the evaluation of what arms start from goes by."""


def arm_experiment(experiment: Experiment, name: str, seed: int) -> Experiment:
    """The experiment that one run of an arm is.

    Raises:
        UsageError: the arm's stages do not go together.
    """
    assert experiment.compare is not None
    arm = experiment.compare.arms[name]
    raw = experiment.model_dump(mode="json", exclude={"compare", "controls"}, exclude_none=True)
    raw |= {
        "name": f"{experiment.name}-{name}",
        "seed": seed,
        "stages": [stage.model_dump(mode="json", exclude_none=True) for stage in arm.stages],
        "sweep_of": experiment.name,
    }
    if arm.policy is not None:
        raw["policy"] = arm.policy.model_dump(mode="json", exclude_none=True)
    if arm.budget is not None:
        raw["budget"] = arm.budget.model_dump(mode="json")
    return validate(raw, where=f"compare.arms.{name}")


def tuning_experiment(experiment: Experiment, name: str) -> Experiment:
    """The sweep that finds an arm's settings, of as many as every arm may try."""
    assert experiment.compare is not None
    settings = experiment.compare
    sweep = Sweep(
        trials=settings.tuning_trials,
        workers=settings.workers,
        pruner="none",
        confirm_seeds=0,
        max_attempts=settings.max_attempts,
        hang_minutes=settings.hang_minutes,
        space=settings.arms[name].space,
        startup_trials=settings.tuning_trials,
    )
    plain = arm_experiment(experiment, name, experiment.seed)
    return plain.model_copy(update={"sweep": sweep, "sweep_of": None})


def untrained(experiment: Experiment) -> dict[str, Policy]:
    """The policies that arms start from, by the names that their evaluations go by."""
    assert experiment.compare is not None
    arms = {name: arm for name, arm in experiment.compare.arms.items() if not arm.control_of}
    found = {f"{name}-{BASE}": arm.policy for name, arm in arms.items() if arm.policy is not None}
    return ({BASE: experiment.policy} if len(found) < len(arms) else {}) | found
