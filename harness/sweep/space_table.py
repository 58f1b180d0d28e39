"""``[sweep.space]`` of an experiment, read: each key a setting, each value where to look.

A key addresses a setting the way ``-s`` does (``grpo.beta``)::

    "grpo.group_size" = [4, 8, 16, 32]                          # choices
    "grpo.beta" = { low = 1e-4, high = 0.1, log = true }        # a range; of integers if both ends are
    "grpo.epochs" = { low = 1, high = 4, step = 1 }
    "grpo.rewards" = { presets = { plain = { accuracy = 1.0 }, shaped = { accuracy = 1.0, format = 0.2 } } }
    "grpo" = { presets = { dapo = { aggregation = "dapo" }, gspo = { ratio = "sequence" } } }
    "grpo.reference.steps" = { low = 8, high = 64, when = { "grpo.reference.refresh" = "every" } }

A preset of a whole stage sets the keys it names; any other preset replaces the setting. ``when`` makes a
setting conditional on others, sampled or fixed: one value or a list of them per key. There a choice goes by
its own key or by that of its kind: ``"grpo.loss"`` and ``"grpo.loss.kind"`` are one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from evals.base.errors import UsageError
from harness.sweep.space import Setting, Space

FIELDS = ("low", "high", "log", "step", "choices", "presets", "when")


def parse_space(table: Mapping[str, Any], where: str = "sweep.space") -> Space:
    """The space in ``[sweep.space]``, or in the table ``where``.

    Raises:
        UsageError: an entry that is neither a list of choices nor a range, or ``when`` in a circle.
    """
    try:
        return Space(_in_order(table), where)
    except UsageError as error:
        raise UsageError(str(error).replace("sweep.space", where, 1)) from None


def _in_order(table: Mapping[str, Any]) -> tuple[Setting, ...]:
    if not table:
        raise UsageError("sweep.space is empty: name at least one setting to search")
    settings = {key: _parse_setting(key, value, table) for key, value in table.items()}
    ordered: list[Setting] = []
    waiting = dict(settings)
    while waiting:
        ready = [s for s in waiting.values() if not any(key in waiting for key in s.when)]
        if not ready:
            raise UsageError(f"sweep.space: `when` goes in a circle among {', '.join(waiting)}")
        ordered += ready
        for setting in ready:
            del waiting[setting.key]
    return tuple(ordered)


def _parse_setting(key: str, value: Any, table: Mapping[str, Any]) -> Setting:
    if isinstance(value, list):
        value = {"choices": value}
    if not isinstance(value, Mapping):
        raise UsageError(
            f"sweep.space: {key}: must be a list of choices or {{ low, high, log, step }}, got {value!r}"
        )
    unknown = [field for field in value if field not in FIELDS]
    if unknown:
        raise UsageError(f"sweep.space: {key}: unknown key {unknown[0]}; accepted: {', '.join(FIELDS)}")
    when = {_searched(other, table): to for other, to in _parse_when(key, value.get("when", {})).items()}
    kinds = [kind for kind in ("choices", "presets", "low") if kind in value]
    if len(kinds) != 1:
        raise UsageError(f"sweep.space: {key}: needs one of choices, presets, or low and high")
    if kinds == ["low"]:
        return Setting(key, _parse_range(key, value), {}, when)
    values = _labelled(key, value[kinds[0]], kinds[0])
    return Setting(key, CategoricalDistribution(tuple(values)), values, when)


def _labelled(key: str, entries: Any, kind: str) -> dict[Any, Any]:
    """What Optuna stores -> value: scalars stand for themselves, tables and lists go by a label."""
    if kind == "presets":
        if not isinstance(entries, Mapping) or not entries:
            raise UsageError(f"sweep.space: {key}: presets must be a table of name = value")
        return dict(entries)
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"sweep.space: {key}: choices must be a list with at least one value")
    values: dict[Any, Any] = {}
    for entry in entries:
        label = json.dumps(entry, sort_keys=True) if isinstance(entry, dict | list) else entry
        if label in values:
            raise UsageError(f"sweep.space: {key}: the choice {entry!r} is there twice")
        values[label] = entry
    return values


def _parse_range(key: str, value: Mapping[str, Any]) -> BaseDistribution:
    low, high, step, log = value["low"], value.get("high"), value.get("step"), value.get("log", False)
    numbers = [n for n in (low, high, step) if n is not None]
    if high is None or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        raise UsageError(f"sweep.space: {key}: low, high and step must be numbers")
    if not isinstance(log, bool):
        raise UsageError(f"sweep.space: {key}: log must be true or false")
    if not all(math.isfinite(n) for n in numbers):
        raise UsageError(f"sweep.space: {key}: low, high and step must be finite")
    if step is not None and not (step > 0 and math.isclose((high - low) / step, round((high - low) / step))):
        raise UsageError(f"sweep.space: {key}: high must be low plus a whole number of steps")
    try:
        if all(isinstance(n, int) for n in numbers):
            return IntDistribution(low, high, log=log, step=1 if step is None else step)
        return FloatDistribution(float(low), float(high), log=log, step=step)
    except ValueError as error:
        raise UsageError(f"sweep.space: {key}: {str(error).rstrip('.')}") from None


def _parse_when(key: str, when: Any) -> dict[str, tuple[Any, ...]]:
    if not isinstance(when, Mapping):
        raise UsageError(f"sweep.space: {key}: when must be a table of setting = value, got {when!r}")
    return {other: tuple(value) if isinstance(value, list) else (value,) for other, value in when.items()}


def _searched(key: str, table: Mapping[str, Any]) -> str:
    """The key under which the setting that a condition names is searched, if it is searched at all."""
    other = key.removesuffix(".kind") if key.endswith(".kind") else f"{key}.kind"
    return other if key not in table and other in table else key
