"""What a call did to its arguments in place, told to the process that made the call.

Arguments cross by value, so a program that sorts a list sorts its own copy. ``Arguments`` looks at them
before and after a call on the program's side; ``apply`` does the same to the objects on the tests' side.
Both number the containers in the arguments alike, so that a row that moved is still the same row.

A change is ``[container, parts, kept]``: its number, its new contents (a dict's keys and then its values),
and pairs ``[place, number]`` of the parts that are containers of the arguments themselves. Runs inside the
sandbox: standard library only.
"""

from __future__ import annotations

from collections import deque
from operator import is_
from typing import Any

MUTABLE = (list, dict, set, bytearray, deque)
HOLDERS = (list, dict, tuple, deque)


class Arguments:
    """The containers in the arguments of one call, as they were when it began."""

    def __init__(self, arguments: object) -> None:
        self._containers = containers(arguments)
        self._before = [_parts(each) for each in self._containers]

    def changes(self) -> list[list[Any]]:
        """One change for each container whose contents are other objects than before."""
        numbers = {id(each): number for number, each in enumerate(self._containers)}
        found = []
        for number, (container, before) in enumerate(zip(self._containers, self._before, strict=True)):
            parts = _parts(container)
            if len(parts) != len(before) or not all(map(is_, parts, before)):
                kept = [[place, numbers[id(part)]] for place, part in enumerate(parts) if id(part) in numbers]
                for place, _ in kept:
                    parts[place] = None
                found.append([number, parts, kept])
        return found


def apply(arguments: object, changes: object) -> None:
    """Makes the changes to the arguments; ``changes`` come from a process that may send anything.

    Raises:
        ValueError: they are no changes of these arguments.
    """
    try:
        known = containers(arguments)
        for number, parts, kept in changes:  # type: ignore[attr-defined]
            for place, other in kept:
                parts[place] = known[other]
            _restore(known[number], parts)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"no changes of the arguments ({type(error).__name__})") from None


def containers(value: object) -> list[Any]:
    """The containers in a value that can be changed in place; their order depends on its shape alone."""
    found: list[Any] = []
    holders = [value]
    for holder in holders:  # grows while it is read
        if isinstance(holder, MUTABLE):
            found.append(holder)
        items = holder.values() if isinstance(holder, dict) else holder
        if isinstance(holder, HOLDERS):
            holders += [item for item in items if isinstance(item, (*MUTABLE, tuple))]  # type: ignore[attr-defined]
    return found


def _parts(container: Any) -> list[Any]:
    return [*container, *container.values()] if isinstance(container, dict) else list(container)


def _restore(container: Any, parts: list[Any]) -> None:
    if isinstance(container, (list, bytearray)):
        container[:] = parts
        return
    container.clear()
    if isinstance(container, dict):
        half = len(parts) // 2
        for key, value in zip(parts[:half], parts[half:], strict=True):
            container[key] = value
    elif isinstance(container, set):
        container.update(parts)
    else:
        container.extend(parts)
