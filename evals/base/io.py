"""Writes that are all there or not there at all, and JSON lines that survive a kill."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evals.base.errors import DamagedFileError
from evals.base.text import dumps

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
_adapters: dict[type, TypeAdapter[Any]] = {}


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of the disk inside this block names ``path``: those of writes (a full disk) name no file."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_bytes(path: Path, parts: Iterable[bytes]) -> None:
    """Writes ``parts`` aside one after another, flushes them to disk, and renames the file to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path), aside.open("wb") as handle:
            handle.writelines(parts)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """``text``, atomically."""
    write_bytes(path, [text.encode()])


def write_json(path: Path, value: object) -> None:
    """``value`` as indented JSON, atomically."""
    write_text(path, json_text(value, indent=2) + "\n")


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """``rows`` as JSON lines, atomically."""
    write_bytes(path, map(json_line, rows))


def json_text(value: object, indent: int | None = None) -> str:
    """``value`` as JSON. Half a character (a lone surrogate) stays escaped, for UTF-8 cannot write it."""
    text = dumps(value, indent=indent, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def json_line(row: Mapping[str, Any]) -> bytes:
    """``row`` as a line of JSON."""
    return (json_text(row) + "\n").encode()


def sync_folder(folder: Path) -> None:
    """Makes renames inside ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``.

    Raises:
        DamagedFileError: it holds no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DamagedFileError(f"{path}: line {error.lineno}: is not valid JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path}: is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise DamagedFileError(f"{path}: is not a JSON object")
    return value


def read_as(path: Path, kind: type[T], **given: object) -> T:
    """The JSON object in ``path`` as a dataclass; ``given`` are fields that the file does not hold.

    Raises:
        DamagedFileError: it holds no JSON object, or one without what ``kind`` needs.
    """
    from pydantic import ValidationError  # takes long, and the commands' help needs none of it

    try:
        found: T = _adapter(kind).validate_python({**read_json(path), **given})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DamagedFileError(f"{path}: {key}: {first['msg']}") from None
    return found


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    """Made once for each class: that takes a millisecond."""
    if kind not in _adapters:
        from pydantic import TypeAdapter

        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def number(value: object) -> float | None:
    """A number of a JSON file, where ``value`` is a finite one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of hundreds of digits
        return None


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Appends one JSON object as a line and flushes it to disk."""
    append_lines(path, [row])


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Appends JSON objects as lines and flushes them to disk, once for all of them."""
    with naming(path), path.open("ab") as handle:
        handle.writelines(map(json_line, rows))
        handle.flush()
        os.fsync(handle.fileno())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole JSON lines of ``path``; a last line that a kill cut short is passed over.

    Raises:
        DamagedFileError: a line is not a JSON object.
    """
    if not path.exists():
        return
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if line.endswith(b"\n"):
                yield _parsed(line, path, number)


def _parsed(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise DamagedFileError(f"{path}: line {number}: is not a JSON object")
    return row


def readable_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects among the lines of ``path``; a line that is none, torn or damaged, is passed over."""
    if not path.exists():
        return
    with path.open("rb") as handle:
        for line in handle:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield row


def drop_torn_line(path: Path) -> None:
    """Cuts off a last line without its newline, so that the next append starts a line of its own."""
    if not path.exists():
        return
    with path.open("rb+") as handle:
        data = handle.read()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            handle.truncate(whole)


def csv_text(text: str) -> str:
    """``text`` as a cell of a CSV file that no spreadsheet takes for a formula; numbers stay numbers.

    What begins with = + - @, a tab or a line break would be computed when the file is opened (CSV injection,
    OWASP); an apostrophe in front keeps it text.
    """
    if not text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text
