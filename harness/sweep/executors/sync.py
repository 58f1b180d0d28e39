"""A run's folder carried over an fsspec address (s3://, gs://, a mounted folder) between two machines.

One side pushes: every file that changed under a name of its own, then an index that says which is which; the
other side pulls what the index has and it lacks. The index is written last and names nothing twice, so a
reader never meets half a file, or a checkpoint of two halves. Small notes go either way.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fsspec.core import url_to_fs

from evals.base.errors import JobError, UsageError, first_line
from evals.base.secrets import mask
from harness.train.heartbeat import ALIVE

OWN = frozenset({"attempt.json", "stop", "fence", "process"})
"""What an attempt's folder has from the dispatcher or the launcher: it is not carried."""
CHECKPOINTS = "checkpoints"
Stamp = tuple[int, int]
"""A file's size, and when it was changed, in nanoseconds."""


class Carrier:
    """What lies at one address.

    Raises:
        UsageError: there is no such kind of address, or no package for it.
    """

    def __init__(self, address: str) -> None:
        try:
            self._fs, self._root = url_to_fs(address, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise UsageError(f"sweep.run_address: {mask(first_line(error))}") from None
        self._known: dict[str, tuple[Stamp, str]] = {}
        """Path in the folder -> what its file was like when it went over, and the name it has there."""
        self._told: dict[str, str] = {}

    def push(self, folder: Path, name: str, *beside: Path) -> None:
        """Makes ``folder`` as it is now, and the files ``beside`` it, the content of index ``name``."""
        found: dict[str, tuple[Stamp, str]] = {}
        self._fs.makedirs(self._at("blobs"), exist_ok=True)
        try:
            for path, place in (*_files(folder), *((place.name, place) for place in beside)):
                stamp, known = _stamp(place), self._known.get(path)
                if known is None or known[0] != stamp:
                    known = (stamp, uuid.uuid4().hex)
                    self._fs.put_file(str(place), self._at("blobs", known[1]))
                found[path] = known
        except FileNotFoundError:  # gone since it was listed, with a whole checkpoint perhaps: next time
            return
        text = json.dumps({path: blob for path, (_, blob) in found.items()})
        if text != self._told.get(name):
            self.note(name, text)
            self._told[name] = text
        gone = {blob for _, blob in self._known.values()} - {blob for _, blob in found.values()}
        self._known = found
        for blob in gone:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._at("blobs", blob))

    def pull(self, folder: Path, name: str) -> bool:
        """Brings into ``folder`` what index ``name`` has; checkpoints that it no longer has are deleted.

        Returns whether all of it has come: what was changed meanwhile comes the next time.

        Raises:
            JobError: the index names a file outside the folder.
        """
        try:
            index = json.loads(self.noted(name) or "{}")
            for path, blob in index.items():
                place = folder / path
                if not place.resolve().is_relative_to(folder.resolve()):
                    raise JobError(f"{self._at(name)} names {path!r}, which lies outside the run's folder")
                if path in self._known and self._known[path][1] == blob:
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                aside = place.with_name(f".{place.name}.tmp")
                self._fs.get_file(self._at("blobs", blob), str(aside))
                aside.replace(place)
                self._known[path] = (_stamp(place), blob)
        except FileNotFoundError:
            return False
        if index:
            _drop_checkpoints(folder, {PurePosixPath(path).parts[:2] for path in index})
        return True

    def note(self, name: str, text: str) -> None:
        """Leaves a word for the other side."""
        self._fs.makedirs(self._root, exist_ok=True)
        aside = self._at(uuid.uuid4().hex)  # a mounted folder would show half of it
        self._fs.pipe_file(aside, text.encode())
        self._fs.mv(aside, self._at(name))

    def noted(self, name: str) -> str | None:
        """What was left under ``name``, or None."""
        try:
            found: bytes = self._fs.cat_file(self._at(name))
        except FileNotFoundError:
            return None
        return found.decode()

    def clear(self, *but: str) -> None:
        """Deletes all that lies there, the notes ``but`` excepted."""
        with contextlib.suppress(FileNotFoundError):
            for path in self._fs.ls(self._root, detail=False):
                if PurePosixPath(path).name not in but:
                    self._fs.rm(path, recursive=True)
            if not but:
                self._fs.rm(self._root, recursive=True)

    def _at(self, *parts: str) -> str:
        return "/".join((self._root.rstrip("/"), *parts))


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a run's folder and its heartbeat; what is being written (under a hidden name) is not."""
    for place in sorted(folder.rglob("*")):
        parts = place.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts) and parts != (ALIVE,)
        if place.is_file() and parts[0] not in OWN and not hidden:
            yield "/".join(parts), place


def _stamp(place: Path) -> Stamp:
    stat = place.stat()
    return stat.st_size, stat.st_mtime_ns


def _drop_checkpoints(folder: Path, kept: set[tuple[str, ...]]) -> None:
    for path in (folder / CHECKPOINTS).glob("*"):
        if (CHECKPOINTS, path.name) not in kept and not path.name.startswith("."):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
