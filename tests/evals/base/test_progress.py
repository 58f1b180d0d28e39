"""Progress: plain lines where the output is no terminal, nothing where it shall be quiet."""

from __future__ import annotations

import io
import re
from threading import RLock

import pytest
from rich.console import Console
from rich.progress import Task, TaskID

from evals.base import progress
from evals.base.progress import Progress


def test_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().step("train", 4) as update:
        for done in range(1, 5):
            update(done, f"reward {done}")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0].startswith("train: 1/4, 0 s")
    assert lines[-1].endswith("reward 4")
    assert "4/4" in lines[-1]
    assert "\x1b" not in captured.err


def test_the_time_left_is_reckoned_from_what_this_run_has_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 120.0, 140.0])  # two reports, the end
    monkeypatch.setattr("evals.base.progress.time.monotonic", lambda: next(clock))
    with Progress().step("resumed", 100) as update:
        update(90)
        update(95)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith("resumed: 95/100, ")
    assert lines[1].endswith(", about 20 s left")


def test_the_time_left_may_be_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 120.0, 700.0, 720.0])
    monkeypatch.setattr("evals.base.progress.time.monotonic", lambda: next(clock))
    with Progress().step("sweep", 100) as update:
        update(90, left=7.0)
        update(91, left=413.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith(", about 7 s left")
    assert lines[1].endswith(", about 7 min left")


def test_a_bar_counts_the_time_that_was_told_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.base.progress.time.monotonic", lambda: 10.0)
    ends = progress._end(75.0)
    task = Task(TaskID(0), "sweep", 10, 3, lambda: 0.0, fields={"ends": ends}, _lock=RLock())
    monkeypatch.setattr("evals.base.progress.time.monotonic", lambda: 20.0)
    assert progress._TimeLeft().render(task).plain == "about 0:01:05 left"


@pytest.mark.parametrize("width", [80, 120])
def test_neither_bar_nor_words_are_cut(width: int) -> None:
    words = "trial 4: step 12/18, reward 0.9, dev 26.2% · best 33.9% (trial 3)"
    console = Console(file=io.StringIO(), width=width, force_terminal=True, legacy_windows=False)
    shown = Progress()
    shown.console = console  # type: ignore[assignment]
    with shown.step("winner-seed-1001: small-sums", 1000) as update:
        update(120.5, words, left=3725)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())  # type: ignore[attr-defined]
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", drawn)]
    assert f"  {words}" in lines
    assert any(
        re.search(r"winner-seed-1001: small-sums .* 120/1000 0:00:0\d about 1:02:0\d left", e) for e in lines
    )


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(quiet=True)
    progress.say("hello")
    with progress.step("train", 1) as update:
        update(1)
    assert capsys.readouterr().err == ""


def test_the_first_line_is_said_once_something_has_begun(capsys: pytest.CaptureFixture[str]) -> None:
    address = "To watch it: harness view /a/" + "long-" * 30 + "folder"
    progress = Progress(first=lambda: address)
    with progress.step("sweep", 2):
        assert capsys.readouterr().err == ""
    with progress.step("sweep", 2) as update:
        update(0)
        update(1)
    assert capsys.readouterr().err.count(address + "\n") == 1
