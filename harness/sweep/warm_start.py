"""``sweep.warm_start``: the best settings of a finished sweep, of a smaller model say, are tried first.

A trial's settings are taken over as they are, but for two rules:

- A learning rate is multiplied by the hidden size there over the hidden size here: under Adam the best rate
  of a hidden matrix falls as 1 / width (muTransfer, arXiv 2203.03466, table 3). Models of one width share it.
- A KL penalty ``beta`` stays: what maximises the reward less beta KL is the reference times
  exp(reward / beta), whatever the model (arXiv 2305.18290, equation 4), and advantages are normalised.

A number outside its range moves to the nearer end. The sampler then learns from how these trials come out, as
from any other; values of the other model are not among what it knows, for they are not comparable.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.distributions import CategoricalDistribution

from evals.base.errors import UsageError
from evals.base.versioned import Part, Versioned
from harness.config import Experiment, Policy, read_experiment
from harness.config.keys import split_key
from harness.sweep.space import Params, Setting, Space, clip
from harness.sweep.space_table import parse_space
from harness.sweep.status import read_summary
from harness.sweep.summary import Trial
from harness.sweep.tabulate import best_trials

WARM_START = "warm_start.json"
KEY = "sweep.warm_start"


class Proposal(Part):
    """One trial there, and the settings that it becomes here."""

    trial: int
    value: float | None
    there: dict[str, Any]
    params: dict[str, Any]


class WarmStart(Versioned):
    """The content of SWEEP/warm_start.json."""

    folder: str
    model: str
    """The model that was swept there."""
    learning_rate_factor: float
    proposals: tuple[Proposal, ...]

    def __str__(self) -> str:
        count = len(self.proposals)
        return (
            f"Warm start from {self.folder} ({self.model}): the settings of its best {count} trials come "
            f"first, learning rates times {self.learning_rate_factor:.3g}."
        )


def warm_start(experiment: Experiment, space: Space, folder: Path) -> WarmStart | None:
    """What the sweep in ``folder`` is to try first: as it was noted there when it began, or worked out now.

    Raises:
        UsageError: see ``translate``.
    """
    assert experiment.sweep is not None
    if experiment.sweep.warm_start is None:
        return None
    file = folder / WARM_START
    return WarmStart.read(file) if file.exists() else translate(experiment, space)


def translate(experiment: Experiment, space: Space) -> WarmStart:
    """The best trials of the sweep that ``sweep.warm_start`` names, for the model of ``experiment``.

    A confirmed winner comes first; of trials that become the same settings one is taken.

    Raises:
        UsageError: the folder holds no finished sweep with a complete trial, or one of another objective or
            of other settings.
    """
    sweep = experiment.sweep
    assert sweep is not None
    assert sweep.warm_start is not None
    folder = Path(sweep.warm_start).expanduser()
    other, ranked = _finished(folder)
    assert other.sweep is not None
    theirs = (other.sweep.objectives[0], other.sweep.directions[0])
    if theirs != (sweep.objectives[0], sweep.directions[0]):
        raise UsageError(
            f"{KEY}: {folder} was searched for {theirs[0]} ({theirs[1]}), and this sweep is for "
            f"{sweep.objectives[0]} ({sweep.directions[0]})"
        )
    differing = list(_differences(parse_space(other.sweep.space, KEY), space))
    if differing:
        raise UsageError(f"{KEY}: {folder} has another search space: {'; '.join(differing)}")
    factor = _width(other.policy) / _width(experiment.policy)
    proposals: list[Proposal] = []
    for trial in ranked:
        params = {key: _here(value, space.by_key(key), factor) for key, value in trial.params.items()}
        if _accepted(space, experiment, params) and all(params != known.params for known in proposals):
            proposals.append(
                Proposal(trial=trial.number, value=trial.value, there=trial.params, params=params)
            )
    return WarmStart(
        folder=str(folder),
        model=other.policy.model,
        learning_rate_factor=factor,
        proposals=tuple(proposals[: sweep.warm_start_trials]),
    )


def _finished(folder: Path) -> tuple[Experiment, list[Trial]]:
    """The experiment of a finished sweep, and its complete trials, the best first."""
    try:
        summary = read_summary(folder)
        experiment = read_experiment([folder / "experiment.toml"])
    except UsageError as error:
        raise UsageError(f"{KEY}: {error}") from None
    if summary.selection.complete_trials is None:
        raise UsageError(f"{KEY}: the sweep in {folder} is not at its end; run it to its end first")
    ranked = best_trials(summary.trials, summary.direction == "maximize", len(summary.trials))
    if not ranked:
        raise UsageError(f"{KEY}: the sweep in {folder} has no complete trial to begin with")
    if (winner := summary.winner) is not None:
        ranked.sort(key=lambda trial: trial.number != winner.trial)
    return experiment, ranked


def _differences(there: Space, here: Space) -> Iterator[str]:
    """How two spaces differ, but for the bounds of their ranges."""
    for key in dict.fromkeys(setting.key for setting in (*there.settings, *here.settings)):
        a, b = there.by_key(key), here.by_key(key)
        if a is None or b is None:
            yield f"{key} is only {'here' if a is None else 'there'}"
        elif a.when != b.when:
            yield f"{key} depends on other settings"
        elif bool(a.values) != bool(b.values):
            yield f"{key} is {_kind(a)} there and {_kind(b)} here"
        elif a.values != b.values and not _is_learning_rate(key):
            yield f"{key} has the choices {_choices(a)} there and {_choices(b)} here"


def _kind(setting: Setting) -> str:
    return "a list of choices" if setting.values else "a range"


def _choices(setting: Setting) -> str:
    return ", ".join(map(str, setting.values))


def _here(value: Any, setting: Setting | None, factor: float) -> Any:
    """A setting of a trial there, as it is tried here."""
    assert setting is not None  # spaces with other keys are refused
    scaled = _is_learning_rate(setting.key) and isinstance(value, int | float)
    number = value * factor if scaled else value
    if not isinstance(setting.distribution, CategoricalDistribution):
        return clip(number, setting.distribution)
    if not scaled:
        return value
    rates = [choice for choice in setting.values if isinstance(choice, int | float) and choice > 0]
    return min(rates, key=lambda rate: abs(math.log(rate / number)), default=value)


def _is_learning_rate(key: str) -> bool:
    return split_key(key)[-1] == "learning_rate"


def _accepted(space: Space, experiment: Experiment, params: Params) -> bool:
    """Whether the settings are a point of the space, and an experiment that the schema accepts."""
    try:
        space.apply(experiment, params)
    except UsageError:
        return False
    return space.holds(params, experiment)


def _width(policy: Policy) -> int:
    from harness.models.architecture import architecture  # torch, which only a warm start needs so early

    try:
        return architecture(policy).hidden
    except UsageError as error:
        raise UsageError(f"{KEY}: the learning rate goes by the models' hidden sizes: {error}") from None
