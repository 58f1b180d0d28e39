"""Experiments written in Python: the tables of an experiment file, with short forms for what most need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from evals.base.errors import UsageError
from harness import config
from harness.api.reward import named_rewards
from harness.config import (
    Budget,
    Compare,
    Data,
    Eval,
    Policy,
    Stage,
    Sweep,
    Tracking,
    read_experiment,
    validate,
)
from harness.config.mistakes import NOWHERE, explain
from harness.config.table import Table
from harness.config.terms import RewardEntry

EMBEDDED = ("tiny", "tiny-small", "tiny-teacher")
"""Policies that are pretrained here, on the template "tags"."""


class _Told(Table):
    """A stage whose mistakes are told as those of an experiment file are."""

    if not TYPE_CHECKING:  # type checkers know the settings from the fields

        def __init__(self, **settings: Any) -> None:
            try:
                super().__init__(**settings)
            except ValidationError:
                kind = type(self).model_fields["kind"].default
                rest = {"name": "experiment", "policy": {"model": "tiny"}, "data": {"train": "tiny-math"}}
                validate({**rest, "stages": [{**settings, "kind": kind}]}, where=type(self).__name__)
                raise


class GRPO(_Told, config.GRPO):
    """Group relative policy optimisation: a ``[[stages]]`` table of kind "grpo".

    In ``rewards`` a function may stand for its name: ``GRPO(rewards={"accuracy": 1.0, short: 0.5})``.

    Raises:
        UsageError: a line for each setting that is unknown or out of range.

    Example:
        >>> GRPO(steps=20, group_size=4, rewards={"accuracy": 1.0, "format": 0.2}).completions_per_step
        256
    """

    if TYPE_CHECKING:
        rewards: dict[str | Callable[..., Any], RewardEntry] = {"accuracy": 1.0}  # type: ignore[assignment]
    else:

        def __init__(self, **settings: Any) -> None:
            if isinstance(settings.get("rewards"), Mapping):
                settings["rewards"] = named_rewards(settings["rewards"])
            super().__init__(**settings)


class SFT(_Told, config.SFT):
    """Supervised fine-tuning: a ``[[stages]]`` table of kind "sft".

    Raises:
        UsageError: a line for each setting that is unknown or out of range.

    Example:
        >>> SFT(data="tiny-traces", steps=50).schedule
        'cosine'
    """


class Experiment(config.Experiment):
    """What to train, on what, how, and how it is measured: everything that an experiment file says."""

    def __init__(
        self,
        *,
        model: str = "",
        data: str | Sequence[str] | Data | Mapping[str, Any],
        dev: str | Sequence[str] = (),
        stages: Stage | Sequence[Stage | Mapping[str, Any]] = (),
        name: str = "experiment",
        seed: int = 0,
        policy: Policy | Mapping[str, Any] | None = None,
        eval: Eval | Mapping[str, Any] | None = None,
        sweep: Sweep | Mapping[str, Any] | None = None,
        compare: Compare | Mapping[str, Any] | None = None,
        budget: Budget | Mapping[str, Any] | None = None,
        tracking: Tracking | Mapping[str, Any] | None = None,
    ) -> None:
        """Builds and checks an experiment; nothing is loaded.

        Args:
            model: A hub id, a folder, or an embedded policy ("tiny"); short for ``policy={"model": ...}``.
            data: Questions to train on, ``task:split[a:b]``, one or several; or the whole ``[data]`` table.
            dev: Questions that steer sweeps and dev evaluations; never the benchmarks.
            stages: What happens to the policy, in order: ``GRPO(...)``, ``SFT(...)``, or a table as a dict.
            name: Names the default folder, ``runs/NAME``.
            seed: Everything random derives from it.
            policy: The ``[policy]`` table, in place of ``model``.
            eval: The ``[eval]`` table: what is measured at the end.
            sweep: The ``[sweep]`` table, for ``sweep()``.
            compare: The ``[compare]`` table, for the command ``harness train``.
            budget: The ``[budget]`` table.
            tracking: The ``[tracking]`` table.

        Raises:
            UsageError: a line for each mistake.

        Example:
            >>> wanted = Experiment(model="tiny", data="tiny-math:train[:100]", stages=[GRPO(steps=20)])
            >>> wanted.policy.template, wanted.data.train
            ('tags', ['tiny-math:train[:100]'])
        """
        if bool(model) == (policy is not None):
            raise UsageError(
                'Experiment: give either model (for example model="tiny") or the whole policy={...}'
            )
        several = [stages] if isinstance(stages, BaseModel) else list(stages)
        tables = {"eval": eval, "sweep": sweep, "compare": compare, "budget": budget, "tracking": tracking}
        raw: dict[str, Any] = {
            "name": name,
            "seed": seed,
            "policy": _policy(model) if policy is None else _plain(policy),
            "data": _data(data, dev),
            "stages": [_plain(stage) for stage in several],
            **{key: _plain(table) for key, table in tables.items() if table is not None},
        }
        try:
            super().__init__(**raw)
        except ValidationError as error:
            raise UsageError(explain(error, raw, "Experiment", NOWHERE)) from None


def experiment_of(given: config.Experiment | str | Path) -> config.Experiment:
    """The experiment itself, or the one in the file of that name."""
    return given if isinstance(given, config.Experiment) else read_experiment([Path(given)])


def _policy(model: str) -> dict[str, Any]:
    return {"model": model, "template": "tags"} if model in EMBEDDED else {"model": model}


def _data(data: str | Sequence[str] | Data | Mapping[str, Any], dev: str | Sequence[str]) -> dict[str, Any]:
    if isinstance(data, Data | Mapping):
        if dev:
            raise UsageError("Experiment: data already has a dev set; leave out dev=")
        return _plain(data)
    return {"train": data, "dev": dev} if isinstance(data, str) else {"train": list(data), "dev": dev}


def _plain(table: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """A table as an experiment file would have it: what was set, and what kind of stage it is."""
    if not isinstance(table, BaseModel):
        return dict(table)
    kind = {"kind": table.kind} if hasattr(table, "kind") else {}
    return {**kind, **table.model_dump(exclude_unset=True)}
