"""probe.json: what `harness probe` found."""

from __future__ import annotations

from typing import Any

from evals.base.versioned import Versioned

PROBE = "probe.json"


class Probe(Versioned):
    """The content of probe.json.

    ``tasks``: as ``evals.contamination.Probed`` tells them, each with "suspicious" and "sentence";
    ``against``: the same of the task that they are read beside.
    """

    tasks: tuple[dict[str, Any], ...]
    against: dict[str, Any] | None = None
