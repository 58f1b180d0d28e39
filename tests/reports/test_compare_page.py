"""The page of a comparison: every pair has its place, and hostile names are text."""

from __future__ import annotations

from pathlib import Path

from evals.comparison.compare import Arm, compare_arms
from evals.scores import Scores
from evals.stats.metrics import QuestionStats
from reports.compare_page import write_page


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
