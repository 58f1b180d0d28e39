"""A page that is sent by mail stays small however many models it is about, and says what it leaves out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports import page
from reports.collect import collect
from reports.study import Study
from reports.view.links import ServedLinks
from reports.view.pages import Pages
from tests.reports.comparison_folder import ARMS, write_comparison

MOST = 1_500_000
"""Bytes."""


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven arms with three seeds each, and the base."""
    return write_comparison(tmp_path_factory.mktemp("arms") / "distil-or-rl", samples=8)


@pytest.fixture(scope="module")
def text(compared: Path) -> str:
    return page.render(collect([compared]))


def _rows(text: str, table: str) -> int:
    body = re.search(rf'<table[^>]* data-key="{table}".*?</table>', text, re.DOTALL)
    assert body, table
    return body.group().count("<tr") - 1


def test_a_comparison_of_22_models_is_well_below_the_limit(text: str) -> None:
    assert len(text.encode()) <= page.LIMIT < 0.9 * MOST
    assert _rows(text, "results") == 66
    assert _rows(text, "differences") == 84  # every pair of the base and seven arms, three benchmarks
    for arm in ARMS:
        assert f'data-entry="{arm}"' in text
    shown = re.findall(r'class="question[^>]* data-benchmark="([^"]+)"', text)
    assert all(shown.count(name) >= 5 for name in ("tiny-aime", "tiny-math", "tiny-code"))


def test_what_has_no_room_is_said(text: str) -> None:
    shown = len(re.findall(r'class="question[^>]* data-benchmark="tiny-math"', text))
    assert f"{shown} of the 100 questions of tiny-math" in text
    assert "Of 22 models, 8 have their responses here, the others only counts. harness view shows" in text
    assert "63 more differences are in the table below only." in text
    assert "the mean of its training seeds at the steps that all of them took; harness view draws" in text


def test_every_link_to_a_sample_leads_to_one(text: str) -> None:
    ids = set(re.findall(r' id="([^"]+)"', text))
    assert set(re.findall(r'href="#(q-[^"]+)"', text)) <= ids


def test_40_models_keep_to_the_limit_and_rows_that_are_cut_are_in_the_view(tmp_path: Path) -> None:
    arms = (*ARMS, *(f"another-arm-{number}" for number in range(6)))
    folder = write_comparison(tmp_path / "many", arms, samples=4)
    text = page.render(collect([folder]))
    assert len(text.encode()) <= page.LIMIT
    assert _rows(text, "differences") == page.ROWS
    assert f"The first {page.ROWS} of 273 rows" in text
    assert "harness view shows them all under “tables in full”" in text
    assert all(f"{arm} − base" in text for arm in arms)  # what matters most comes first
    assert "The first 12 of 13." in text
    full = Pages(tmp_path, ServedLinks()).tables("many")
    assert _rows(full, "differences") == 273
    assert "rows</strong>" not in full


def test_a_page_shows_fewer_questions_rather_than_be_too_long(
    compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where samples were chosen for more room than there is, they are chosen anew."""
    study = Study(evaluations=[e for e in collect([compared]).evaluations if e.benchmark == "tiny-aime"])
    monkeypatch.setattr(page, "LINKS", -100_000)
    monkeypatch.setattr(page, "LIMIT", 500_000)
    text = page.render(study)
    assert 400_000 < len(text.encode()) <= 500_000
    assert 'class="question' in text


def test_rows_of_separate_folders_are_said_to_be_where_they_are(
    compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The view has no page of all tables where the folders of a report are not one sweep or comparison."""
    monkeypatch.setattr(page, "ROWS", 2)
    folders = [compared / "evals" / "base", compared / "arms" / "rl" / "seed-0" / "evals" / "final"]
    text = page.render(collect(folders))
    assert "The first 2 of 6 rows" in text
    assert "harness report --export csv writes them all." in text
    assert "tables in full" not in text
