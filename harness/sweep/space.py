"""The search space as Optuna distributions: what a trial samples, and the experiment that it makes.

``space_table.parse_space`` reads one from ``[sweep.space]``. A preset of a whole stage sets the keys it
names; any other preset replaces the setting. ``when`` makes a setting conditional on others.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from evals.base.errors import UsageError
from harness.config import Experiment, set_key, validate
from harness.config.keys import split_key

Params = dict[str, Any]
"""Key -> sampled value; a table among the choices goes by its label."""

COMBINATIONS_CHECKED = 512
INTEGERS_CHECKED = 128


@dataclass(frozen=True)
class Setting:
    """One dimension of the space."""

    key: str
    distribution: BaseDistribution
    values: Mapping[Any, Any]
    """For choices: what Optuna stores -> what the experiment gets. Empty for ranges."""
    when: Mapping[str, tuple[Any, ...]]
    """The setting is searched only where each of these keys has one of these values."""

    def value(self, stored: Any) -> Any:
        """What the experiment gets for what Optuna stored."""
        return self.values.get(stored, stored)

    def candidates(self) -> list[Any]:
        """Stored values that show whether the schema accepts this setting: all choices, or both ends of a
        range.

        Ranges of integers are walked (up to ``INTEGERS_CHECKED`` values): divisibility fails inside, not at
        the ends.
        """
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.distribution.choices)
        if isinstance(self.distribution, IntDistribution):
            every = range(self.distribution.low, self.distribution.high + 1, self.distribution.step)
            stride = max(1, len(every) // INTEGERS_CHECKED)
            return sorted({*every[::stride], every[-1]})
        assert isinstance(self.distribution, FloatDistribution)
        return [self.distribution.low, self.distribution.high]


@dataclass(frozen=True)
class Space:
    """The settings that a sweep searches; those that others depend on come first."""

    settings: tuple[Setting, ...]
    where: str = "sweep.space"
    """The table that it was read from."""

    def suggest(self, trial: optuna.Trial, experiment: Experiment) -> Params:
        """Asks Optuna for every setting that is active; what the trial already holds stays as it is."""
        params: Params = {}
        raw = _raw(experiment)
        for setting in self.settings:
            if not _active(setting, params, self, raw):
                continue
            match setting.distribution:
                case CategoricalDistribution(choices=choices):
                    params[setting.key] = trial.suggest_categorical(setting.key, choices)
                case IntDistribution(low=low, high=high, step=step, log=log):
                    params[setting.key] = trial.suggest_int(setting.key, low, high, step=step, log=log)
                case FloatDistribution() as d:
                    params[setting.key] = trial.suggest_float(
                        setting.key, d.low, d.high, step=d.step, log=d.log
                    )
        return params

    def apply(self, experiment: Experiment, params: Params, name: str | None = None) -> Experiment:
        """The experiment that one trial runs: no sweep of its own, no benchmarks at its end, and the sampled
        settings. A stage that evaluates in between keeps its benchmarks, those of ``[eval]`` by default.

        Raises:
            UsageError: the schema refuses the combination.
        """
        raw = _raw(experiment)
        raw.pop("sweep", None)
        raw.pop("controls", None)
        raw["name"] = name or experiment.name
        raw["sweep_of"] = experiment.name
        for stage in raw["stages"]:
            if stage["kind"] == "evaluate" and not stage["benchmarks"]:
                stage["benchmarks"] = raw["eval"]["benchmarks"]
        raw["eval"]["benchmarks"] = []
        for setting in self.settings:
            if setting.key in params:
                _set(raw, setting.key, setting.value(params[setting.key]))
        shown = ", ".join(f"{key} = {value}" for key, value in params.items())
        return validate(raw, where=f"{self.where} with {shown}" if params else "experiment")

    def nearest(self, experiment: Experiment) -> Params:
        """The experiment's own settings as a point of the space, as far as the space holds them.

        A number outside its range moves to the nearer end; a value that is none of the choices is left out.
        """
        params: Params = {}
        raw = _raw(experiment)
        plain = self.apply(experiment, {})
        for setting in self.settings:
            if not _active(setting, params, self, raw):
                continue
            if setting.values:
                same = [c for c in setting.values if self.apply(experiment, {setting.key: c}) == plain]
                if same:
                    params[setting.key] = same[0]
            elif (number := _number(_get(raw, setting.key))) is not None:
                params[setting.key] = clip(number, setting.distribution)
        return params

    def holds(self, params: Params, experiment: Experiment) -> bool:
        """Whether ``params`` has every setting that is active, and no other."""
        raw = _raw(experiment)
        return {s.key for s in self.settings if _active(s, params, self, raw)} == params.keys()

    def point_of(self, trial: Experiment, experiment: Experiment) -> Params | None:
        """The point at which ``experiment`` becomes ``trial`` (see ``apply``); None where none does."""
        point = self.nearest(trial)
        return point if self.holds(point, experiment) and self.apply(experiment, point) == trial else None

    def points(self, experiment: Experiment) -> list[Params]:
        """Every point of a finite space, for the grid.

        Raises:
            UsageError: a range of floats without a step.
        """
        for setting in self.settings:
            if isinstance(setting.distribution, FloatDistribution) and setting.distribution.step is None:
                raise UsageError(
                    f'sweep.space: {setting.key}: sampler = "grid" needs choices, or a range with a step'
                )
        return [p for p in self._walk(_raw(experiment), {}, every=True) if _valid(self, experiment, p)]

    def check(self, experiment: Experiment) -> None:
        """Tries the space against the schema before anything is computed.

        Each choice and both ends of each range go through the schema with everything else as the experiment
        has it, then combinations of them: all of them, or a fixed sample where there are many.

        Raises:
            UsageError: the first setting or combination that the schema refuses, by key and value.
        """
        raw = _raw(experiment)
        for setting in self.settings:
            for _ in self._one_by_one(setting, experiment, raw):
                pass
        for params in self._some_combinations(raw):
            self.apply(experiment, params)

    def chosen(self, experiment: Experiment) -> Iterator[Experiment]:
        """The trials at every single choice: a name or a path among them may lead nowhere, a number cannot.

        Raises:
            UsageError: the schema refuses one.
        """
        raw = _raw(experiment)
        for setting in self.settings:
            if setting.values:
                yield from self._one_by_one(setting, experiment, raw)

    def _one_by_one(
        self, setting: Setting, experiment: Experiment, raw: dict[str, Any]
    ) -> Iterator[Experiment]:
        """Trials with each candidate of one setting, everything else as the experiment has it."""
        parents = self._parents(setting, raw)
        for candidate in setting.candidates() if parents is not None else []:
            yield self.apply(experiment, {**(parents or {}), setting.key: candidate})

    def by_key(self, key: str) -> Setting | None:
        return next((s for s in self.settings if s.key == key), None)

    @property
    def conditional(self) -> bool:
        return any(setting.when for setting in self.settings)

    def _parents(self, setting: Setting, raw: dict[str, Any]) -> Params | None:
        """Sampled values under which ``setting`` is active; None where nothing makes it so."""
        params: Params = {}
        for key, accepted in setting.when.items():
            parent = self.by_key(key)
            if parent is None:
                if not _meets(_get(raw, key), accepted):
                    return None
                continue
            fitting = [c for c in _all_values(parent) if _meets(parent.value(c), accepted) or c in accepted]
            above = self._parents(parent, raw)
            if not fitting or above is None:
                return None
            params |= {**above, key: fitting[0]}
        return params

    def _walk(self, raw: dict[str, Any], params: Params, every: bool) -> Iterator[Params]:
        """Points of the space in order: of every value, or of the candidates only."""
        for setting in self.settings:
            if setting.key in params or not _active(setting, params, self, raw):
                continue
            for value in _all_values(setting) if every else setting.candidates():
                yield from self._walk(raw, {**params, setting.key: value}, every)
            return
        yield params

    def _some_combinations(self, raw: dict[str, Any]) -> list[Params]:
        first = list(itertools.islice(self._walk(raw, {}, every=False), COMBINATIONS_CHECKED + 1))
        if len(first) <= COMBINATIONS_CHECKED:
            return first
        generator = np.random.default_rng(0)  # fixed: the same space is always checked in the same way
        return [self._random_point(raw, generator) for _ in range(COMBINATIONS_CHECKED)]

    def _random_point(self, raw: dict[str, Any], generator: np.random.Generator) -> Params:
        params: Params = {}
        for setting in self.settings:
            if _active(setting, params, self, raw):
                candidates = setting.candidates()
                params[setting.key] = candidates[int(generator.integers(len(candidates)))]
        return params


def _active(setting: Setting, params: Params, space: Space, raw: dict[str, Any]) -> bool:
    for key, accepted in setting.when.items():
        parent = space.by_key(key)
        if parent is None:
            if not _meets(_get(raw, key), accepted):
                return False
        elif key not in params or not (
            params[key] in accepted or _meets(parent.value(params[key]), accepted)
        ):
            return False
    return True


def _meets(value: Any, accepted: tuple[Any, ...]) -> bool:
    """Whether a value is one of a condition's; a choice with settings of its own goes by its kind, too."""
    return value in accepted or (isinstance(value, Mapping) and value.get("kind") in accepted)


def _all_values(setting: Setting) -> Sequence[Any]:
    match setting.distribution:
        case IntDistribution(low=low, high=high, step=step):
            return range(low, high + 1, step)
        case FloatDistribution(low=low, high=high, step=float() as step):
            return [low + i * step for i in range(round((high - low) / step) + 1)]
    return setting.candidates()


def _valid(space: Space, experiment: Experiment, params: Params) -> bool:
    try:
        space.apply(experiment, params)
    except UsageError:
        return False
    return True


def _raw(experiment: Experiment) -> dict[str, Any]:
    return experiment.model_dump(mode="json", exclude_none=True)


def _stage(raw: dict[str, Any], name: str) -> dict[str, Any] | None:
    return next((stage for stage in raw["stages"] if stage["name"] == name), None)


def _set(raw: dict[str, Any], key: str, value: Any) -> None:
    if _stage(raw, key) is None:
        set_key(raw, key, value)
        return
    if not isinstance(value, Mapping):
        raise UsageError(
            f"sweep.space: {key} is a stage: its choices must be presets, tables of setting = value"
        )
    for inner, part in value.items():
        set_key(raw, f"{key}.{inner}", part)


def _get(raw: dict[str, Any], key: str) -> Any:
    """The value at a dotted key of a raw experiment; None where there is none."""
    head, *rest = split_key(key)
    value: Any = _stage(raw, head) or raw.get(head)
    for part in rest:
        if part == "kind" and isinstance(value, str):  # a choice without settings is its name alone
            continue
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _number(value: Any) -> float | None:
    """``value`` as one number; a table of equal numbers (both sides of epsilon) is that number."""
    if isinstance(value, Mapping) and len(set(value.values())) == 1:
        value = next(iter(value.values()))
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def clip(number: float, distribution: BaseDistribution) -> float:
    """The number of a range that is nearest to ``number``."""
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    inside = min(max(number, low), high)
    if step is not None:
        inside = min(low + round((inside - low) / step) * step, high)
    return int(inside) if isinstance(distribution, IntDistribution) else float(inside)
