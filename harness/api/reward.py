"""``reward``: one's own functions in the reward mix, without a module of their own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from evals.base.errors import UsageError
from harness.config import GRPO, Experiment, RewardTerm
from harness.config.kinds import REWARDS

Function = TypeVar("Function", bound=Callable[..., Any])
IN_PYTHON = "added in Python"


def reward(name: str) -> Callable[[Function], Function]:
    """Decorates a function of one's own that is to be known as a reward by this name, in this process.

    The function gets a ``Rollout`` (evals/rollout.py: question, prompt, completion, verdict) and
    returns a number, or None for a completion that it cannot score. Decorating again replaces it.

    Raises:
        UsageError: the name is a built-in reward's.

    Example:
        >>> @reward("short")
        ... def short(rollout):
        ...     return 1.0 if rollout.tokens < 100 else 0.0
        >>> from harness import GRPO
        >>> GRPO(rewards={"accuracy": 1.0, "short": 0.5}).rewards["short"]
        0.5
    """

    def add(function: Function) -> Function:
        REWARDS.add(name, function)
        return function

    return add


def named_rewards(rewards: Mapping[Any, Any]) -> dict[str, Any]:
    """A reward mix whose keys may be functions, by names alone.

    A function that other processes can import goes by its module; any other is known in this one alone.

    Raises:
        UsageError: a function without a name (a lambda), or with a built-in reward's.
    """
    found: dict[str, Any] = {}
    for key, entry in rewards.items():
        name, target = _name_of(key) if callable(key) else (key, "")
        if name in found:
            raise UsageError(f"rewards: two rewards are called {name!r}")
        found[name] = _with_function(entry, target) if target else entry
    return found


def _name_of(function: Callable[..., Any]) -> tuple[str, str]:
    """The name in the mix, and "module:name" where that is how others find it."""
    known = [plugin.name for plugin in REWARDS.plugins() if plugin.origin == IN_PYTHON]
    added = next((name for name in known if REWARDS.get(name) is function), None)
    if added is not None:
        return added, ""
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise UsageError(f"rewards: {function!r} has no name; write it with def, or decorate it with @reward")
    if name in REWARDS.built_in and REWARDS.get(name) is function:
        return name, ""
    if _importable(function, name):
        return name, f"{function.__module__}:{name}"
    REWARDS.add(name, function)
    return name, ""


def _importable(function: Callable[..., Any], name: str) -> bool:
    module = getattr(function, "__module__", "")
    held = getattr(sys.modules.get(module), name, None) is function
    return held and module != "__main__" and importlib.util.find_spec(module) is not None


def _with_function(entry: Any, target: str) -> Any:
    if isinstance(entry, RewardTerm):
        return entry.model_copy(update={"function": target})
    term = dict(entry) if isinstance(entry, Mapping) else {"weight": entry}
    return {**term, "function": target}


def check_other_processes(experiment: Experiment) -> None:
    """Refuses rewards that only this process knows, where trials are processes of their own.

    Raises:
        UsageError: names the reward, and says where to put it.
    """
    here = {plugin.name for plugin in REWARDS.plugins() if plugin.origin == IN_PYTHON}
    for key, name in _rewards_in(experiment):
        if name in here:
            raise UsageError(
                f"{key}: {name!r} exists only in this Python process, but a sweep runs its trials in "
                f'separate processes: put the function into a file and write "{name}" = {{ weight = 1.0, '
                f'function = "my_rewards.py:{name}" }}'
            )


def _rewards_in(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """The rewards of an experiment's stages and of its search space: their keys, and what they look up."""
    for stage in experiment.stages:
        for name, entry in stage.rewards.items() if isinstance(stage, GRPO) else ():
            yield f"{stage.name}.rewards.{name}", RewardTerm.of(entry).function or name
    for key in experiment.sweep.space if experiment.sweep else ():
        _, found, inner = key.partition(".rewards.")
        if found:
            yield key, inner.partition(".")[0]
