"""Settings that others leave without effect: refused, so that nobody believes they act."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from harness.config.stages import GRPO, Stage
from harness.config.table import Table
from harness.config.terms import Reference, RewardTerm

OWN_RANGE = ("sapo", "gmpo", "vespo", "dppo", "kl_cov")
"""Losses that do without ``epsilon`` and ``delta``."""
BY_GROUP = ("group", "length_aware")
"""Advantages that ``baseline`` and the settings of the standard deviation are for."""


def check_effects(stages: Sequence[Stage], swept: Collection[str], adapters: bool) -> None:
    """Refuses a setting of a "grpo" stage that differs from its default and does nothing.

    ``swept``: the keys of a search space; what depends on one of them has an effect in some trials.
    ``adapters``: they are what is trained.

    Raises:
        ValueError: names the setting and what leaves it without effect.
    """
    for stage in stages:
        for key, decided_by, why in _without_effect(stage) if isinstance(stage, GRPO) else ():
            both = (f"{stage.name}.{key}", f"{stage.name}.{decided_by}")
            if not _searched(swept, both):
                raise ValueError(f"{both[0]} has no effect with {why}: leave one of them out")
        updates = [f"{stage.name}.{key}" for key in ("loss", "epochs", "minibatches")]
        if _single_update(stage) and not _searched(swept, updates):
            raise ValueError(
                f"{stage.name}.loss: 'kl_cov' acts from a batch's second update on: set epochs or "
                "minibatches above 1"
            )
        if adapters and isinstance(stage, GRPO) and stage.reference.offload:
            raise ValueError(
                f"{stage.name}.reference.offload has no effect with policy.lora, where the reference "
                "policy is the base model without the adapter: leave one of them out"
            )


def _without_effect(stage: GRPO) -> Iterator[tuple[str, str, str]]:
    """(setting, the setting that decides, its value in words) for all that is set and does nothing."""
    if stage.beta == 0:
        for key in _changed(stage, ("kl_estimator", "kl_unbiased", "reference")):
            yield key, "beta", "beta = 0"
    reference = stage.reference
    if reference.refresh == "never":
        for key in _changed(reference, ("steps", "decay")):
            yield f"reference.{key}", "reference.refresh", 'reference.refresh = "never"'
    if reference.refresh == "every":
        for key in _changed(reference, ("decay",)):
            yield f"reference.{key}", "reference.refresh", 'reference.refresh = "every"'
    if stage.scale_rewards == "none":
        for key in _changed(stage, ("std_ddof", "std_epsilon")):
            yield key, "scale_rewards", 'scale_rewards = "none"'
    if stage.loss.kind in OWN_RANGE:
        for key in _changed(stage, ("epsilon", "delta")):
            yield key, "loss", f"loss = {stage.loss.kind!r}"
    if stage.advantage.kind not in BY_GROUP:
        for key in _changed(stage, ("baseline", "scale_rewards", "std_ddof", "std_epsilon")):
            yield key, "advantage", f"advantage = {stage.advantage.kind!r}"
    if stage.entropy_bonus.target is None:
        for key in _changed(stage.entropy_bonus, ("step", "high")):
            yield f"entropy_bonus.{key}", "entropy_bonus.target", "no target"
    for name, entry in stage.rewards.items():
        if isinstance(entry, RewardTerm) and entry.final is None:
            for key in _changed(entry, ("steps",)):
                yield f"rewards.{name}.{key}", f"rewards.{name}.final", "no final weight"


def _single_update(stage: Stage) -> bool:
    """Whether "kl_cov", whose penalty is on what earlier updates of a batch have moved, finds none."""
    return isinstance(stage, GRPO) and stage.loss.kind == "kl_cov" and stage.epochs * stage.minibatches == 1


def _searched(swept: Collection[str], keys: Sequence[str]) -> bool:
    return any(_touches(searched, key) for searched in swept for key in keys)


def _touches(searched: str, key: str) -> bool:
    """Whether a key of a search space is ``key``, a table that holds it, or inside it."""
    return f"{key}.".startswith(f"{searched}.") or searched.startswith(f"{key}.")


def _changed(table: Table, keys: tuple[str, ...]) -> Iterator[str]:
    fields = type(table).model_fields
    for key in keys:
        default = Reference() if key == "reference" else fields[key].default
        if getattr(table, key) != default:
            yield key
