"""What can be named in an experiment and added by others: one registry a kind of thing.

A name is looked up in this order: what Python code added (``Registry.add``), what is built in (as
"module:attribute", imported when it is asked for), what an installed package offers as an entry point of the
registry's group (``[project.entry-points."harness.rewards"]``), and, where the name has a colon, the object
itself: "my_file.py:name" or "package.module:name". A package cannot replace what is built in.

What is found is a function or a class. Settings of its own are a pydantic class, its attribute ``Settings``
(``takes`` sets it): a class is made with them, a function gets them as its last argument, ``settings``.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from evals.base.errors import UsageError, first_line

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Plugin:
    """One thing that a registry knows by name."""

    name: str
    origin: str
    """"built in", "added in Python", or the package that brings it, with its version."""
    target: str
    """Where it is: "module:attribute"."""


@dataclass
class Registry:
    """The things of one kind, by name."""

    kind: str
    """What one of them is called in a message: "reward", "loss"."""
    group: str
    """The entry points' group: "harness.rewards"."""
    built_in: Mapping[str, str]
    """Name to "module:attribute"."""
    _added: dict[str, Any] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Every name there is, built-in ones first."""
        return [plugin.name for plugin in self.plugins()]

    def plugins(self) -> list[Plugin]:
        """Every thing there is; nothing is imported for it."""
        own = [Plugin(name, "built in", target) for name, target in self.built_in.items()]
        taken = set(self.built_in)
        added = [
            Plugin(name, "added in Python", f"{getattr(thing, '__module__', '')}:{name}")
            for name, thing in self._added.items()
        ]
        offered = [
            Plugin(name, _distribution(point), point.value)
            for name, point in sorted(_offered(self.group).items())
            if name not in taken and name not in self._added
        ]
        return [*own, *added, *offered]

    def add(self, name: str, thing: Any) -> None:
        """Makes ``thing`` known by ``name`` in this process.

        Raises:
            UsageError: the name is built in, or has a colon.
        """
        if name in self.built_in or ":" in name:
            why = "has a colon" if ":" in name else "is built in"
            raise UsageError(f"{self.kind} {name!r} cannot be added: the name {why}")
        self._added[name] = thing

    def knows(self, name: str) -> bool:
        """Whether ``get`` would look somewhere for it; nothing is imported."""
        return ":" in name or name in self._added or name in self.built_in or name in _offered(self.group)

    def get(self, name: str) -> Any:
        """The thing called ``name``.

        Raises:
            UsageError: there is none; the sentence has the nearest names. Or it cannot be imported.
        """
        if name in self._added:
            return self._added[name]
        if name in self.built_in:
            return load_target(self.built_in[name], self.kind)
        offered = _offered(self.group)
        if name in offered:
            return self._from_package(offered[name])
        if ":" in name:
            return load_target(name, self.kind)
        raise UsageError(self.unknown(name))

    def unknown(self, name: str) -> str:
        """The sentence about a name that nothing has."""
        return (
            f"unknown {self.kind} {name!r}; {accepted(name, self.names())}, or one of your own as "
            f'"file.py:name" or "module:name"'
        )

    def make(self, name: str, settings: Mapping[str, Any], where: str) -> Any:
        """The thing called ``name`` with ``settings``: a class is made, a function has them filled in.

        ``where`` names the settings' table of the experiment in a message.

        Raises:
            UsageError: as ``get`` and ``settings_of``.
        """
        thing = self._named_by(name, where)
        chosen = settings_of(thing, settings, where)
        if isinstance(thing, type):
            return thing() if chosen is None else thing(chosen)
        return thing if chosen is None else partial(thing, settings=chosen)

    def _named_by(self, name: str, where: str) -> Any:
        try:
            return self.get(name)
        except UsageError as error:
            raise UsageError(f"{where.removesuffix('.settings')}: {error}") from error

    def factory(self, name: str, settings: Mapping[str, Any], where: str) -> Callable[..., Any]:
        """As ``make`` for what takes more than its settings, a class too: both are called with the rest.

        Raises:
            UsageError: as ``make``, or it is neither a function nor a class.
        """
        thing = self._named_by(name, where)
        if not callable(thing):
            raise UsageError(f"{where}: {self.kind} {name!r} is neither a function nor a class")
        chosen = settings_of(thing, settings, where)
        return thing if chosen is None else partial(thing, settings=chosen)

    def origin(self, name: str) -> dict[str, str] | None:
        """Where a thing that is not built in comes from, for a run's manifest; None for what is built in.

        "kind", "name" and "origin" (a package with its version, or the file's path), and "blake2b", the hash
        of the file that it is defined in, where it has one.
        """
        if name in self.built_in and name not in self._added:
            return None
        thing = self.get(name)
        point = None if name in self._added else _offered(self.group).get(name)
        source = source_of(thing) or _file_of(point.module if point else name.rpartition(":")[0])
        if point is not None:
            origin = _distribution(point)
        else:
            origin = "added in Python" if source is None or name in self._added else str(source)
        found = {"kind": self.kind, "name": name, "origin": origin}
        return found if source is None else found | {"blake2b": file_hash(source)}

    def _from_package(self, point: EntryPoint) -> Any:
        try:
            return point.load()
        except Exception as error:  # whatever the package's own code raises
            raise UsageError(
                f"{self.kind} {point.name!r} of {_distribution(point)} cannot be loaded: {first_line(error)}"
            ) from error


def takes(settings: type[BaseModel]) -> Callable[[Thing], Thing]:
    """Decorates what has settings of its own: they are then read from the experiment into ``settings``."""

    def with_settings(thing: Thing) -> Thing:
        thing.Settings = settings  # type: ignore[attr-defined]
        return thing

    return with_settings


def absolute(name: str) -> str:
    """``name`` with the path of "file.py:name" made absolute: other processes work in other folders."""
    where, separator, attribute = name.rpartition(":")
    if not separator or not where.endswith(".py"):
        return name
    return f"{Path(where).expanduser().resolve()}:{attribute}"


def source_of(thing: Any) -> Path | None:
    """The file that a function or class is defined in; None where there is none (it is compiled, say)."""
    if not (isinstance(thing, type) or inspect.isroutine(thing)):
        return None  # an object's module is that of its class
    return _file_of(getattr(thing, "__module__", ""))


def _file_of(module: str) -> Path | None:
    """A module's file, or the file itself where ``module`` is the path of one; None where there is none."""
    file = module if module.endswith(".py") else getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file and Path(file).is_file() else None


def file_hash(file: Path) -> str:
    """A digest of a file's bytes."""
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()


def accepted(name: str, names: list[str]) -> str:
    """What should stand in place of ``name``: the nearest of ``names`` where there is one, and them all."""
    meant = nearest(name, names)
    return f"{meant}{' ' if meant else ''}accepted: {', '.join(names)}"


def nearest(name: str, names: Sequence[str]) -> str:
    """The question whether the nearest of ``names`` was meant; "" where none is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def settings_class(thing: Any) -> type[BaseModel] | None:
    """The class of a thing's own settings; None where it takes none."""
    found = getattr(thing, "Settings", None)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def settings_of(thing: Any, raw: Mapping[str, Any], where: str) -> BaseModel | None:
    """``raw`` as the settings that ``thing`` takes; None where it takes none.

    ``where`` names the table of the experiment in the message.

    Raises:
        UsageError: a key is unknown, missing or out of range, or there are settings for what takes none.
    """
    kind = settings_class(thing)
    if kind is None:
        if raw:
            raise UsageError(f"{where}: takes no settings, got {', '.join(raw)}")
        return None
    passes_on = kind.model_config.get("extra") == "allow"  # it then says itself what it does not know
    unknown = [key for key in raw if key not in kind.model_fields and not passes_on]
    if unknown:
        raise UsageError(
            f"{where}: unknown key {unknown[0]!r}; {accepted(unknown[0], list(kind.model_fields))}"
        )
    try:
        return kind.model_validate(dict(raw))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([where, *(str(part) for part in first["loc"])])
        raise UsageError(f"{key}: {first['msg'].removeprefix('Value error, ')}") from None


def load_target(target: str, kind: str) -> Any:
    """The object behind "file.py:name" or "module:name".

    Raises:
        UsageError: there is no such file or module, it fails when imported, or has nothing of that name.
    """
    where, _, name = target.rpartition(":")
    if not where or not name:
        raise UsageError(f'{kind} {target!r}: must be "file.py:name" or "module:name"')
    module = _load_file(Path(where), kind) if where.endswith(".py") else _load_module(where, target, kind)
    try:
        return getattr(module, name)
    except AttributeError:
        public = [known for known in vars(module) if not known.startswith("_")]
        meant = nearest(name, public)
        raise UsageError(f"{kind} {target!r}: {where} has no {name!r}{meant and f'; {meant}'}") from None


def _load_module(name: str, target: str, kind: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever somebody's module raises when it is imported
        raise UsageError(f"{kind} {target!r}: {name} cannot be imported: {first_line(error)}") from error


def _load_file(file: Path, kind: str) -> ModuleType:
    """The module in a file, imported once a process under a name made from its path."""
    path = file.expanduser().resolve()
    if not path.is_file():
        raise UsageError(f"{kind} {str(file)!r}: no such file")
    name = f"{path.stem}_{hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{kind} {str(file)!r}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickles look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever somebody's file raises when it is imported
        del sys.modules[name]
        raise UsageError(f"{kind} {str(file)!r}: cannot be imported: {first_line(error)}") from error
    return module


@cache
def _offered(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
