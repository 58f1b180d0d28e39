"""The page of a comparison: every pair has its place, and hostile names are text."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

from evals.comparison.compare import Arm, Comparison, Flip, compare_arms
from evals.comparison.ranking import Place
from evals.scores import Scores
from evals.stats.intervals import Estimate
from evals.stats.metrics import QuestionStats
from reports.cells import Cell, Column, Table
from reports.compare_page import write_page
from reports.figures.evals import _ticks
from reports.page import LIMIT
from reports.sheet import ROWS, Chapter, render_sheet


def _arm(name: str, correct: list[int]) -> Arm:
    questions = tuple(QuestionStats(f"q{i}", 8, c) for i, c in enumerate(correct))
    return Arm(name, ({"tiny-aime": Scores("tiny-aime", questions, "none needed", votes=False)},))


def test_every_pair_has_its_sentence_its_row_and_its_flips(tmp_path: Path) -> None:
    arms = [
        _arm("base", [1, 2, 3, 1] * 5),
        _arm("<b>new</b>", [6, 7, 8, 6] * 5),
        _arm("same", [1, 2, 3, 1] * 5),
    ]
    found = compare_arms(arms)
    page = write_page(found, tmp_path / "page.html").read_text()
    assert len(found) == 3
    assert page.count("no significant difference between same and base") == 1
    assert "2 of 3 differences are significant at 5% after Holm&#39;s correction." in page
    assert "<b>new</b>" not in page
    assert ">same − base</text>" in page
    assert 'data-key="flips"' in page
    assert "Content-Security-Policy" in page


def test_one_pair_is_named_in_the_title(tmp_path: Path) -> None:
    found = compare_arms([_arm("base", [1, 2] * 9), _arm("new", [6, 7] * 9)])
    page = write_page(found, tmp_path / "page.html").read_text()
    assert "<h1>new against base</h1>" in page
    assert "new is better than base" in page
    assert "They differ." in page
    assert page.count("<summary>How to read this</summary>") == 2
    assert "a score here says nothing about AIME" in page  # what the benchmark is


def test_a_minus_is_one_and_a_name_keeps_its_hyphens(tmp_path: Path) -> None:
    found = compare_arms([_arm("seed-1", [6, 7] * 9), _arm("winner-2", [1, 2] * 9)])
    page = write_page(found, tmp_path / "page.html").read_text()
    assert "winner-2 is worse than seed" in page
    assert "difference −62.5 points (95% interval −" in page


def test_a_long_row_of_the_forest_has_two_lines() -> None:
    short, long = "tiny-aime · winner − base", "tiny-aime · winner-seed-2 − winner-seed-1"
    assert _ticks([short]) == [short]
    assert _ticks([short, long]) == ["tiny-aime\nwinner − base", "tiny-aime\nwinner-seed-2 − winner-seed-1"]


def _crowd(models: int, benchmarks: int) -> tuple[list[Comparison], dict[str, tuple[Place, ...]]]:
    """Every pair of many models, and their places, made up: to compute them would take minutes."""
    names = [f"some-organisation/a-model-of-a-long-name-{number}" for number in range(models)]
    found = [
        Comparison(
            a, b, f"benchmark-{benchmark}", "pass@1", 30, 0.4, 0.5, Estimate(0.1, 0.05, 0.0, 0.2),
            "permutation", 0.04, 0.4, 20, 10,
            tuple(Flip(f"benchmark/{question}", 0.25, 0.875) for question in range(30)),
            (f"The protocols differ (temperature 0.6 and {b[-1]}).",),
        )
        for a, b in combinations(names, 2)
        for benchmark in range(benchmarks)
    ]  # fmt: skip
    estimate = Estimate(0.5, 0.05, 0.4, 0.6)
    places = tuple(Place(name, estimate, 1, models, 1 + row // 9) for row, name in enumerate(names))
    return found, {f"benchmark-{benchmark}": places for benchmark in range(benchmarks)}


def _rows(page: str, table: str) -> list[str]:
    body = re.search(rf'<table[^>]* data-key="{table}".*?</table>', page, re.DOTALL)
    assert body, table
    return re.findall("<tr.*?</tr>", body.group(), re.DOTALL)[1:]


def test_a_page_of_40_models_is_small_and_says_where_all_rows_are(tmp_path: Path) -> None:
    found, places = _crowd(40, 3)
    page = write_page(found, tmp_path / "page.html", places).read_text()
    assert len(page.encode()) <= LIMIT
    assert len(_rows(page, "ranking")) == 120
    differences = _rows(page, "differences")
    assert len(differences) == ROWS
    assert all(f"− {found[0].a}" in row for row in differences[: 39 * 3])  # those with the first model
    assert not any(f"− {found[0].a}" in row for row in differences[39 * 3 :])
    assert f"The first {ROWS} of 2,340 rows" in page
    assert "with --json every pair and question that changed." in page
    assert len(_rows(page, "flips")) == ROWS


def test_of_a_crowd_the_summary_and_the_warnings_are_a_few_sentences(tmp_path: Path) -> None:
    found, places = _crowd(40, 3)
    page = write_page(found, tmp_path / "page.html", places).read_text()
    assert page.count("<li>benchmark-0: against ") == 1
    assert "0 of 39 are significantly better, 0 significantly worse, 39 not significantly different" in page
    assert page.count("<li>benchmark-0: 40 models in 5 groups") == 1
    assert "; and 9 more pairs: The protocols differ (temperature 0.6 and 1)." in page
    assert "temperature 0.6 and 2" in page
    assert page.count("The protocols differ") == 10  # not once a pair


def test_a_sheet_shows_the_first_rows_of_a_table_and_says_where_all_are(tmp_path: Path) -> None:
    rows = tuple((Cell(f"model {row}"), Cell(f"{row}.5", row + 0.5)) for row in range(ROWS + 1))
    columns = (Column("model", "Model", "text"), Column("value", "Value"))
    chapter = Chapter("cells", "Every cell", (Table("cells", "Cells", "All.", columns, rows),))
    page = render_sheet("T", "E", "H", [chapter], "harness reproduce", "table5.csv beside this page has all.")
    assert len(_rows(page, "cells")) == ROWS
    assert "this page has no room for all. table5.csv beside this page has all." in page
