"""The reference policy: what the KL penalty pulls towards, and how it follows the policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch

from harness.config import Reference as Settings
from harness.models import lora, sharding
from harness.models.policy import Policy


class Reference(Protocol):
    """A frozen policy: ``model`` is it inside ``applied()``."""

    model: torch.nn.Module
    refreshes: int
    """How often ``follow`` has changed it, in this process."""

    def applied(self) -> AbstractContextManager[None]: ...

    def follow(self, model: torch.nn.Module, steps: int) -> None:
        """Refreshes after ``steps`` training steps of the stage, where one is due.

        "every": reference <- policy. "ema": reference <- decay * reference + (1 - decay) * policy.
        """
        ...

    def state(self) -> Mapping[str, torch.Tensor] | None:
        """What a checkpoint keeps of it."""
        ...

    def restore(self, state: Mapping[str, torch.Tensor] | None) -> None: ...


def make_reference(policy: Policy, settings: Settings) -> Reference:
    """The policy as it is now, frozen."""
    if policy.lora is not None:
        return AdapterReference(policy.model, settings)
    return ModelReference(policy.model, settings)


class ModelReference:
    """A copy of the policy's model."""

    def __init__(self, model: torch.nn.Module, settings: Settings) -> None:
        self._settings = settings
        self.refreshes = 0
        self.model: torch.nn.Module = sharding.shard_copy(model).eval().requires_grad_(False)
        self._device = next(model.parameters()).device
        self._rest()

    @contextmanager
    def applied(self) -> Iterator[None]:
        if self._settings.offload:
            self.model.to(self._device)
        try:
            yield
        finally:
            self._rest()

    def _rest(self) -> None:
        if self._settings.offload:
            self.model.to("cpu")

    @torch.no_grad()
    def follow(self, model: torch.nn.Module, steps: int) -> None:
        if self._settings.refresh == "never" or steps % self._settings.steps:
            return
        self.refreshes += 1
        weight = 1.0 if self._settings.refresh == "every" else 1 - self._settings.decay
        for mine, new in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(new.detach().to(mine.device), weight)

    def state(self) -> Mapping[str, torch.Tensor]:
        return self.model.state_dict()

    def restore(self, state: Mapping[str, torch.Tensor] | None) -> None:
        sharding.load_weights(self.model, state or {})


class AdapterReference:
    """The policy's own model with the adapter of the stage's beginning, or with none: no second copy of it.

    A moving average of adapters is not one of policies, so "ema" is refused (``config.Experiment``).
    """

    def __init__(self, model: torch.nn.Module, settings: Settings) -> None:
        self._settings = settings
        self.refreshes = 0
        self.model = model
        untrained = not any(
            bool(sharding.whole(p).any()) for name, p in lora.adapter(model).items() if ".lora_B." in name
        )
        self._adapter = None if untrained else self._copied(model)

    def applied(self) -> AbstractContextManager[None]:
        return lora.instead(self.model, self._adapter)

    def follow(self, model: torch.nn.Module, steps: int) -> None:
        if self._settings.refresh == "every" and steps % self._settings.steps == 0:
            self.refreshes += 1
            self._adapter = self._copied(model)

    def state(self) -> Mapping[str, torch.Tensor] | None:
        return self._adapter

    def restore(self, state: Mapping[str, torch.Tensor] | None) -> None:
        mine = lora.adapter(self.model)
        if state is None:
            self._adapter = None
        else:
            self._adapter = {k: sharding.like(v.to(mine[k].device), mine[k]) for k, v in state.items()}

    @staticmethod
    def _copied(model: torch.nn.Module) -> dict[str, torch.Tensor]:
        return {name: parameter.detach().clone() for name, parameter in lora.adapter(model).items()}
