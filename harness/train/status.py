"""status.json: where a run, a sweep or a comparison stands."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Literal

from evals.base.errors import DamagedFileError
from evals.base.secrets import mask
from evals.base.versioned import Versioned

log = logging.getLogger(__name__)
STATUS = "status.json"
State = Literal["running", "done", "pruned", "failed"]


class Status(Versioned):
    """``reason`` is one sentence for pruned and failed; ``time`` in seconds since 1970."""

    state: State
    reason: str = ""
    time: float = 0.0


def write_status(folder: Path, state: State, reason: str = "") -> None:
    """Notes how the job in ``folder`` stands."""
    Status(state=state, reason=mask(reason), time=time.time()).write(folder / STATUS)


def read_status(folder: Path) -> Status | None:
    """The status a run folder records; None where there is none yet, or none that can be read.

    A run without one goes on from its newest checkpoint, and from the last to its end.
    """
    path = folder / STATUS
    if not path.exists():
        return None
    try:
        return Status.read(path)
    except DamagedFileError as error:
        log.warning("%s; the run goes on from its newest checkpoint", error)
        return None
