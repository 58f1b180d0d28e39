"""Public faces that cost nothing to import: what they offer is imported when it is asked for (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


def lazily(package: str, name: str, places: Mapping[str, str]) -> Any:
    """``name`` of the module that ``places`` says, for a package's ``__getattr__``.

    Where that module has this very name, it is meant itself (see ``CallablePackage``).

    Raises:
        AttributeError: the package offers nothing of that name.
    """
    if name not in places:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    module = importlib.import_module(places[name])
    return module if module.__name__ == f"{package}.{name}" else getattr(module, name)


class CallablePackage(ModuleType):
    """A package that can be called: it goes by the same name as a function of the face that it lies behind.

    Importing ``harness.train.pipeline`` puts the package ``train`` into ``harness`` where the function was;
    so the package is the function, too.
    """

    @property
    def __wrapped__(self) -> Any:
        """The function; ``inspect.signature`` and so editors' hints find it here."""
        place, _, name = self._function.partition(":")
        return getattr(importlib.import_module(place), name)

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return self.__wrapped__(*args, **settings)


def make_callable(package: str, function: str) -> None:
    """Makes the imported ``package`` callable as ``function``, "module:name", imported when it is called."""
    module = sys.modules[package]
    module.__dict__["_function"] = function
    module.__class__ = CallablePackage
