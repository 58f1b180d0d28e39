"""How far an evaluation has come, and when it ends, on a clock of the test's own."""

from __future__ import annotations

import pytest

from evals.pace import Advance, Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_sample_at_work_counts_by_its_share_of_the_limit() -> None:
    assert Advance(3, 10, 60, at_work=50, most=25).worth == 5
    assert Advance(10, 10, 60, at_work=50, most=25).worth == 10
    assert Advance(3, 10, 60).worth == 3


def test_time_left_is_by_what_has_ended() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace(Advance(40, 100, 0, most=1000)) == ("", None)  # 40 were there before
    clock.now = 110.0
    assert pace(Advance(40, 100, 0, at_work=500, most=1000)) == ("500 tokens, 50 a second", None)
    clock.now = 120.0
    words, left = pace(Advance(50, 100, 1000, at_work=500, most=1000))
    assert words == "1,500 tokens, 75 a second"
    assert left == pytest.approx(20 / 10 * 50)
    assert pace(Advance(100, 100, 9000, most=1000))[1] is None


def test_no_sample_takes_longer_than_the_limit_allows() -> None:
    """One short answer of many that are nearly at the limit says little of the others."""
    clock = Clock()
    pace = Pace(clock)
    pace(Advance(0, 101, 0, most=100))
    clock.now = 110.0
    _, left = pace(Advance(1, 101, 10, at_work=9900, most=100))
    assert left == pytest.approx(10 / 9910 * (100 * 100 - 9900))
