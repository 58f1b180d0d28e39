"""``report``: the page about folders."""

from __future__ import annotations

from pathlib import Path

from reports.page import Report, build_report


def report(*folders: str | Path, out: str | Path | None = None) -> Report:
    """Writes one self-contained page about sweep, run and evaluation folders, as ``harness report`` does.

    Args:
        folders: What the page is about.
        out: The page; by default ``report.html`` in the first folder.

    Returns:
        The page's path; a notebook shows the page itself.

    Raises:
        UsageError: no folder is given, or none of them holds anything to report.
    """
    return build_report([Path(folder) for folder in folders], None if out is None else Path(out))
