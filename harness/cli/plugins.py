"""Everything that an experiment can name, by kind, for `harness plugins`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from evals.base.errors import UsageError
from evals.base.registry import Plugin, Registry, settings_class
from evals.graders.registry import GRADERS
from evals.tasks.registry import TASKS
from evals.templates import TEMPLATES
from harness.config.kinds import ADVANTAGES, ENGINES, EXECUTORS, LOSSES, REWARDS, TRACKERS

REGISTRIES = (TASKS, GRADERS, TEMPLATES, REWARDS, LOSSES, ADVANTAGES, ENGINES, EXECUTORS, TRACKERS)


@dataclass(frozen=True)
class Listed:
    """One row of `harness plugins`."""

    kind: str
    name: str
    origin: str
    target: str
    settings: dict[str, str] = field(default_factory=dict)
    """Its own settings and what each means."""
    problem: str = ""
    """Why it cannot be loaded; "" if it can."""


def listed() -> list[Listed]:
    """Everything built in or provided by an installed package. Each is loaded to read its settings."""
    return list(_rows())


def _rows() -> Iterator[Listed]:
    for registry in REGISTRIES:
        for plugin in registry.plugins():
            yield _row(registry, plugin)


def _row(registry: Registry, plugin: Plugin) -> Listed:
    row = (registry.kind, plugin.name, plugin.origin, plugin.target)
    try:
        kind = settings_class(registry.get(plugin.name))
    except UsageError as error:
        return Listed(*row, problem=str(error))
    fields = kind.model_fields if kind else {}
    return Listed(*row, {key: f.description or "" for key, f in fields.items()})
