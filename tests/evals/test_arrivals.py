"""What comes is worked on beside, and nothing of it is lost where either side fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.arrivals import NAME, Arrivals, clear, handed_over
from evals.engine import Completion, Usage
from evals.rollout import Rollout
from evals.task import Question


def test_what_comes_while_work_is_done_is_done_together_next() -> None:
    first_begun, all_came = threading.Event(), threading.Event()
    batches: list[list[int]] = []

    def coming() -> Iterator[int]:
        yield 0
        assert first_begun.wait(10)
        yield from (1, 2, 3)
        all_came.set()

    def work(items: list[int]) -> int:
        batches.append(items)
        first_begun.set()
        assert all_came.wait(10)
        return sum(items)

    assert list(handed_over(coming(), work)) == [0, 6]
    assert batches == [[0], [1, 2, 3]]


def test_what_came_before_a_failure_is_worked_on() -> None:
    done: list[int] = []

    def coming() -> Iterator[int]:
        yield from (1, 2)
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        list(handed_over(coming(), done.extend))
    assert done == [1, 2]


def test_work_that_fails_ends_it() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    def work(_: list[int]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        list(handed_over(endless(), work))


def test_an_answer_comes_back_as_it_was_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    served = Completion("Half \ud83d of it", (), (), "length", Usage(3, None))
    continued = Completion("x", (5, 70_000), (), "stop", Usage(None, 2))
    rollouts = [
        Rollout(Question("q", "?", "1"), "", each, sample=i) for i, each in enumerate([served, continued])
    ]
    Arrivals(tmp_path).add(rollouts)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"request": "q", "number": 2, "text": 7, "finish_reason": "stop", "tokens": 1}\n')
        file.write(b'{"request": "q", "numb')
    found = Arrivals(tmp_path)
    assert [found.get("q", number) for number in range(4)] == [served, continued, None, None]
    clear(tmp_path)
    assert not (tmp_path / NAME).exists()
