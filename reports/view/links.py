"""Where a page's links lead: to the server's addresses, or to the files of a static copy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote, urlencode

from reports.figures.svg import slug


class Links(Protocol):
    """``key`` is a path below the root, of a folder or of a samples.jsonl."""

    served: bool

    def index(self) -> str: ...

    def folder(self, key: str) -> str: ...

    def samples(self, key: str, training: bool, query: Mapping[str, str]) -> str: ...

    def sample(self, key: str, start: int, back: Mapping[str, str]) -> str: ...

    def report(self, key: str) -> str: ...

    def tables(self, key: str) -> str: ...


class ServedLinks:
    """The addresses that ``server.py`` answers."""

    served = True

    def index(self) -> str:
        return "/"

    def folder(self, key: str) -> str:
        return f"/at/{quote(key)}"

    def samples(self, key: str, training: bool, query: Mapping[str, str]) -> str:
        return _with(f"/{'training' if training else 'samples'}/{quote(key)}", query)

    def sample(self, key: str, start: int, back: Mapping[str, str]) -> str:
        return _with(f"/sample/{quote(key)}", {"start": str(start), **back})

    def report(self, key: str) -> str:
        return f"/report/{quote(key)}"

    def tables(self, key: str) -> str:
        return f"/tables/{quote(key)}"


class BundleLinks:
    """The names of a copy's files, all in one folder.

    A copy has every page of samples, each with its samples in full, and no filters.
    """

    served = False

    def index(self) -> str:
        return "index.html"

    def folder(self, key: str) -> str:
        return f"{file_name(key)}.html"

    def samples(self, key: str, training: bool, query: Mapping[str, str]) -> str:
        return samples_file(key, training, int(query.get("page", "1")))

    def sample(self, key: str, start: int, back: Mapping[str, str]) -> str:
        return f"#{file_name(key)}-{start}"

    def report(self, key: str) -> str:
        return f"{file_name(key)}.report.html"

    def tables(self, key: str) -> str:
        return f"{file_name(key)}.tables.html"


def samples_file(key: str, training: bool, page: int) -> str:
    """The file of a copy that holds a page of a folder's samples."""
    return f"{file_name(key)}.{'training' if training else 'samples'}-{page}.html"


def file_name(key: str) -> str:
    """A name of its own for a path below the root, fit for every file system."""
    return f"{slug(key)[-60:]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def _with(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
