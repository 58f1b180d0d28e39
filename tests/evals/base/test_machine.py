"""How many cores a process may use: those it is bound to, or fewer where a container has a quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evals.base import machine


@pytest.mark.parametrize(
    ("quota", "granted"),
    [("max 100000", None), ("150000 100000", 2), ("20000 100000", 1), ("nonsense", None)],
)
def test_a_quota_counts_in_whole_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, granted: int | None
) -> None:
    monkeypatch.setattr(machine, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert machine.cores() == 8  # no such file
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert machine.cores() == (granted or 8)
