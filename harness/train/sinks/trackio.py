"""Trackio: the run in Trackio's own storage (TRACKIO_DIR, or its default), which `trackio show` opens.

Settings of Trackio's (a Space, a server) are its environment variables: TRACKIO_SPACE_ID, TRACKIO_SERVER_URL.
"""

from __future__ import annotations

import contextlib
import io as streams
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from evals.base import io
from harness.train.sinks.base import About

Result = TypeVar("Result")


class TrackioSink:
    """One run of a Trackio project; its name is drawn for the folder and kept there in trackio.json."""

    def __init__(self, about: About) -> None:
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        name = _name(about)
        held = SQLiteStorage.get_max_step_for_run(about.project, name)
        self.sent = -1 if held is None else int(held)
        self._run: Any = _quietly(
            lambda: trackio.init(
                project=about.project,
                name=name,
                group=about.group,
                config={**about.config, "kind": about.kind, "tags": list(about.tags), "notes": about.notes},
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        )

    def log(self, row: Mapping[str, Any]) -> None:
        self._run.log({name: value for name, value in row.items() if name != "step"}, step=row["step"])

    def summary(self, values: Mapping[str, Any]) -> None:
        """Trackio has none: the figures stand at the last step."""
        self._run.log(dict(values), step=max(self.sent, 0))

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        import trackio

        data = [list(row) for row in rows]
        self._run.log({name: trackio.Table(columns=list(columns), data=data)}, step=max(self.sent, 0))

    def file(self, path: Path, kind: str, name: str) -> None:
        _quietly(lambda: self._run.log_artifact(str(path), name=f"{self._run.name}-{name}", type=kind))

    def close(self) -> None:
        import trackio

        _quietly(trackio.finish)  # the run's own `finish` would be called again when Python exits


def _name(about: About) -> str:
    note = about.folder / "trackio.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(io.read_json(note)["name"])
    name = f"{about.group}-{about.name}-{secrets.token_hex(4)}"
    io.write_json(note, {"name": name})
    return name


def _quietly(call: Callable[[], Result]) -> Result:
    """Trackio prints to the standard output, which belongs to whoever runs the command."""
    with contextlib.redirect_stdout(streams.StringIO()):
        return call()
