"""The study's storage at an SQLAlchemy address: opened, or refused in one sentence."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import optuna
from alembic.util import CommandError
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from evals.base.errors import UsageError, first_line
from evals.base.secrets import MASK, mask

EXAMPLE = "postgresql+psycopg://USER@HOST:5432/DATABASE"


def open_storage(storage: str) -> optuna.storages.RDBStorage:
    """The storage at an SQLAlchemy address.

    Raises:
        UsageError: it is not an address, does not answer, is damaged, or there is no driver for it.
    """
    shown = mask(storage)
    try:
        address = make_url(storage)
    except ArgumentError:
        raise UsageError(f"storage {shown} is not an address such as {EXAMPLE}") from None
    except ValueError:  # the one part that has to be a number
        raise UsageError(f"storage {shown}: its port is not a number, unlike that of {EXAMPLE}") from None
    try:
        _make_whole(address)
        opened = optuna.storages.RDBStorage(storage, engine_kwargs={"pool_pre_ping": True})
        if opened.engine.dialect.name == "sqlite":
            event.listen(opened.engine, "connect", _write_ahead)
            opened.engine.dispose()  # later connections are made so
        return opened
    except (
        *(SQLAlchemyError, ImportError, ValueError, TypeError, OSError),
        *(optuna.exceptions.StorageInternalError, CommandError, RuntimeError),
    ) as error:
        raise UsageError(f"storage {shown} cannot be opened: {said(error, storage)}") from None


def said(error: BaseException, storage: str) -> str:
    """What an error of the storage says, in one line, without the password wherever it quotes it."""
    text = mask(first_line(error))
    try:
        address = make_url(storage)
        secrets = [str(address.password or ""), *map(str, address.query.values())]
    except (ArgumentError, ValueError):
        secrets = []
    for secret in filter(None, secrets):
        text = text.replace(secret, MASK)
    return text


def is_damage(error: BaseException) -> bool:
    """Whether an SQLite file has no sense any more, which no patience mends."""
    cause = getattr(error, "orig", None)
    return isinstance(cause, sqlite3.DatabaseError) and type(cause) is sqlite3.DatabaseError


def _make_whole(address: URL) -> None:
    """Makes a new SQLite file with all of its tables and indices, aside, and renames it into its place.

    SQLite commits each of them by itself, and Optuna looks for tables alone: a process that is killed in
    between would leave a study table without the index that keeps a study from being made twice.
    """
    if address.get_backend_name() != "sqlite" or not address.database or address.database == ":memory:":
        return
    path = Path(address.database)
    if path.exists():
        return
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    made = optuna.storages.RDBStorage(str(address.set(database=str(aside))))
    made.remove_session()
    made.engine.dispose()
    for journal in ("-wal", "-shm"):  # of a file that is gone: SQLite would take them for this one's
        path.with_name(path.name + journal).unlink(missing_ok=True)
    aside.replace(path)


def _write_ahead(connection: Any, record: object) -> None:
    """Sets up an SQLite connection to write ahead: a commit does not wait for the disk.

    A killed process loses nothing by that. A machine that loses its power may lose the last commits, never
    their order: the runs' folders still have what they said, and a trial asked for again is the same.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
