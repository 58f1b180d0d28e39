"""Where the rows of a data set come from: a file in the HARNESS_DATA folder first, else the hub.

A file is ``HARNESS_DATA/NAME.jsonl`` with one JSON object a line and the columns as on the hub. The hub
is asked for one commit only, so that two people who print a score graded the same questions.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from evals.base.text import dumps
from evals.base.text_files import open_text
from evals.task import TaskError

FOLDER_VARIABLE = "HARNESS_DATA"
FETCHED = "fetched.json"
"""What the hub gave, by file: its address, and a digest of the file as it was written."""

Row = dict[str, Any]


@dataclass(frozen=True)
class DataFile:
    """One split of one data set.

    ``name`` is the local file's stem; ``repo``, ``config``, ``split`` and ``revision`` (a full commit; ""
    where nobody has looked it up: the newest) address the same rows on the hub; ``columns`` must be in every
    row; ``count`` is how many rows the split has, for ``check``; ``digest`` is ``rows_digest`` of the rows
    as their authors' repositories have them ("" where nobody took it). ``gated`` data sets need an account
    that accepted their terms. ``paths`` are the repository's files (.json, .jsonl, .csv, .tsv) that hold the
    rows, one after another, where the hub's own loader does not know them.
    """

    name: str
    repo: str
    revision: str
    split: str
    columns: tuple[str, ...]
    count: int
    digest: str = ""
    config: str | None = None
    gated: bool = False
    paths: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The hub address, for manifests and ``Task.source``."""
        config = f"/{self.config}" if self.config else ""
        commit = self.revision[:12] or "newest"
        return f"{self.repo}{config}@{commit} ({', '.join(self.paths) or self.split})"

    @property
    def checked(self) -> bool:
        """Whether the rows are known: somebody had them, and took a digest."""
        return bool(self.digest)


def local_path(file: DataFile) -> Path | None:
    """Where the local copy is or would be; None where HARNESS_DATA is not set."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder) / f"{file.name}.jsonl" if folder else None


def read(file: DataFile) -> list[Row]:
    """The rows of ``file`` in their published order.

    Raises:
        TaskError: neither the local file nor the hub has them, or the local file is broken.
    """
    path = local_path(file)
    if path is not None and path.exists():
        return read_jsonl(path, file.columns)
    return list(_checked(_download(file), file))


def local_copy(file: DataFile) -> Path:
    """The path of the local copy, for rows that are too many to hold.

    Raises:
        TaskError: there is none.
    """
    path = local_path(file)
    if path is None or not path.exists():
        raise TaskError(_missing(file, "there is no local copy"))
    return path


def read_jsonl(path: Path, columns: tuple[str, ...] = ()) -> list[Row]:
    """The JSON objects of ``path``, one a line; blank lines are passed over.

    Raises:
        TaskError: the file cannot be read, or a line is not a JSON object with all of ``columns``; it names
            the file and the line.
    """
    return [row for _, row in placed_rows(path, columns)]


def placed_rows(path: Path, columns: tuple[str, ...] = ()) -> Iterator[tuple[int, Row]]:
    """``read_jsonl`` a row at a time, each with the byte at which its line begins (see ``row_at``)."""
    with open_text(path) as handle:
        place = handle.tell()
        for number, line in enumerate(handle, start=1):
            if line.strip():
                yield place, parse_row(line, columns, f"{path}, line {number}")
            place += len(line)


def row_at(path: Path, place: int, columns: tuple[str, ...] = ()) -> Row:
    """The row whose line begins at byte ``place``.

    Raises:
        TaskError: there is none, or no longer.
    """
    with open_text(path) as handle:
        handle.seek(place)
        line = handle.readline()
    return parse_row(line, columns, f"{path}, at byte {place}")


def read_given(name: str, columns: tuple[str, ...], how: str) -> list[Row]:
    """The rows of HARNESS_DATA/NAME.jsonl, of a data set that the user puts there.

    Raises:
        TaskError: it is not there (the message ends with ``how`` to make it) or is broken.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    path = Path(folder or f"${FOLDER_VARIABLE}") / f"{name}.jsonl"
    if not path.exists():
        raise TaskError(f"{path} is missing: {how}")
    return read_jsonl(path, columns)


def fetch(file: DataFile, folder: Path) -> Path:
    """Downloads ``file`` into ``folder`` as ``NAME.jsonl``, written aside and renamed; returns its path.

    Raises:
        TaskError: the hub cannot be reached or does not give access.
    """
    rows = _checked(_download(file), file)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{file.name}.jsonl"
    aside = path.with_name(f".{path.name}.tmp")
    with aside.open("w", encoding="utf-8") as handle:
        for row in rows:
            handle.write(dumps(row, ensure_ascii=False, default=str) + "\n")
    aside.replace(path)
    record = {**_fetched(folder), file.name: {"source": file.source, "blake2b": _file_digest(path)}}
    aside = folder / f".{FETCHED}.tmp"
    aside.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    aside.replace(folder / FETCHED)
    return path


def origin(file: DataFile) -> str:
    """Where the rows that ``read`` gives are from: the hub's address only where they are the hub's.

    A local copy has it where ``fetch`` wrote it and nobody since, or where its rows are known.
    """
    path = local_path(file)
    if path is None or not path.exists():
        return file.source
    state = path.stat()
    return _origin(file, path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _origin(file: DataFile, path: Path, _size: int, _mtime_ns: int) -> str:
    """``origin`` of a file that is as it was at that time."""
    own = _file_digest(path)
    if _fetched(path.parent).get(file.name) == {"source": file.source, "blake2b": own}:
        return file.source
    if file.digest and rows_digest(path, file.columns) == file.digest:
        return file.source
    return f"{path.name} of {FOLDER_VARIABLE} ({own[:12]}), which is not known to be {file.source}"


def rows_digest(path: Path, columns: tuple[str, ...]) -> str:
    """A digest of the columns' values, row by row: neither other columns nor the way of writing count."""
    digest = hashlib.blake2b(digest_size=16)
    for _, row in placed_rows(path, columns):
        digest.update(json.dumps([row[column] for column in columns], sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _fetched(folder: Path) -> dict[str, dict[str, str]]:
    """What ``fetch`` wrote into the folder, by the files' names; nothing where its record is unreadable."""
    try:
        found = json.loads((folder / FETCHED).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def check(file: DataFile) -> int:
    """How many rows the local copy holds, if it is complete.

    Raises:
        TaskError: there is no local copy, it is broken, or its number of rows is not the published one.
    """
    path = local_copy(file)
    count = sum(1 for _ in placed_rows(path, file.columns))
    if count != file.count:
        raise TaskError(f"{path} has {count} rows instead of {file.count}; {_how(file)}")
    return count


def parse_row(line: bytes, columns: tuple[str, ...], where: str) -> Row:
    """The JSON object of a line, which ``where`` names in a message.

    Raises:
        TaskError: it is not one, or lacks some of ``columns``.
    """
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise TaskError(f"{where} cannot be read: it is not UTF-8 ({error.reason})") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise TaskError(f"{where}: not valid JSON: {_how_to_mend(line) or error}") from None
    if not isinstance(row, dict):
        raise TaskError(f"{where}: must be a JSON object, got {type(row).__name__}")
    missing = [column for column in columns if column not in row]
    if missing:
        raise TaskError(f"{where}: has no column {missing[0]!r}; needed: {', '.join(columns)}")
    return row


def _how_to_mend(line: bytes) -> str:
    """What is wrong with a line of what is JSON but not JSON lines; "" where it is something else."""
    text = line.strip()
    if text.endswith(b"},"):
        return "it ends with a comma, and JSON lines have none between them"
    if text == b"[" or text.startswith(b"[{"):
        return "a list begins here; name the file .json, or write one object a line"
    return ""


def _download(file: DataFile) -> Iterable[Mapping[str, Any]]:
    # datasets imports slowly, and a local copy does not need it.
    import datasets
    import huggingface_hub as hub

    try:
        with offline_where_unreachable():
            if not file.paths:
                split: Iterable[Mapping[str, Any]] = datasets.load_dataset(
                    file.repo, file.config, split=file.split, revision=file.revision or None
                )
                return split
            paths = [
                hub.hf_hub_download(file.repo, path, repo_type="dataset", revision=file.revision or None)
                for path in file.paths
            ]
    except Exception as error:  # the hub's clients raise dozens of types for "no network" alone
        raise TaskError(_missing(file, f"{file.repo} on the hub: {_first_line(error)}")) from None
    return (row for path in paths for row in _rows_of(Path(path)))


def _rows_of(path: Path) -> Iterable[Mapping[str, Any]]:
    import pandas as pd

    match path.suffix:
        case ".jsonl":
            return (row for _, row in placed_rows(path))
        case ".json":
            return _json_rows(path)
        case suffix:
            table = pd.read_csv(path, sep="\t" if suffix == ".tsv" else ",")
            return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _json_rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        rows = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TaskError(f"{path}: is not a JSON list of objects")
    return rows


@contextlib.contextmanager
def offline_where_unreachable() -> Iterator[None]:
    """Puts the hub's clients into offline mode where its host has no address.

    They would retry every request for half a minute to say the same. What they cached stays usable.
    """
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if not _resolves(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _resolves(url: str) -> bool:
    if any(name.lower() in ("https_proxy", "http_proxy", "all_proxy") for name in os.environ):
        return True  # the proxy looks names up
    try:
        return bool(socket.getaddrinfo(urlsplit(url).hostname, None))
    except OSError:
        return False


def _checked(rows: Iterable[Mapping[str, Any]], file: DataFile) -> Iterator[Row]:
    empty = True
    for row in rows:
        missing = [column for column in file.columns if column not in row]
        if missing:
            raise TaskError(f"{file.source} has no column {missing[0]!r}")
        empty = False
        yield dict(row)
    if empty:
        raise TaskError(f"{file.source} has no rows")


def _missing(file: DataFile, reason: str) -> str:
    path = local_path(file) or Path(f"${FOLDER_VARIABLE}") / f"{file.name}.jsonl"
    return f"{path} is missing and could not be loaded otherwise ({reason}); {_how(file)}"


def _how(file: DataFile) -> str:
    gated = f" after accepting the terms of {file.repo} and logging in to the hub" if file.gated else ""
    return f"with a network, `harness data fetch {file.name}` gets it{gated}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
