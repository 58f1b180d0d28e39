"""Fewer points of a curve: its own, its ends among them, and its peaks."""

from __future__ import annotations

import numpy as np

from reports.figures import thin


def test_a_short_curve_keeps_all_its_points() -> None:
    assert thin.kept(range(5), np.arange(5.0), 5) == [0, 1, 2, 3, 4]
    assert thin.told(5, 5) == ""


def test_ends_and_peaks_of_a_long_curve_stay() -> None:
    x = np.arange(1000)
    y = np.sin(x / 60)
    y[421] = 9.0
    y[700] = -7.0
    kept = thin.kept(x.astype(float), y, 50)
    assert len(kept) == 50
    assert kept == sorted(set(kept))
    assert {0, 421, 700, 999} <= set(kept)
    np.testing.assert_allclose(np.interp(x[:400], x[kept], y[kept]), y[:400], atol=0.2)


def test_gaps_are_no_reason_to_fail() -> None:
    y = np.where(np.arange(200) % 3 == 0, np.nan, 1.0)
    assert len(thin.kept(range(200), y, 20)) == 20
    assert len(thin.kept(range(200), np.full(200, np.nan), 20)) == 20


def test_many_curves_share_the_points_of_a_figure() -> None:
    assert thin.room(1) == thin.POINTS
    assert thin.room(100) == thin.POINTS // 100
    assert thin.room(10_000) == thin.LEAST
    assert "those 90 of its points" in thin.told(1000, 90)
