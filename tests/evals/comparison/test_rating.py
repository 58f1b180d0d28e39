"""Ratings are those at which Elo's logistic expects the rank that was reached."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evals.comparison.rating import HIGHEST, LOWEST, performance, rate
from evals.scores import Scores
from evals.stats.metrics import QuestionStats
from evals.task import TaskError


def test_one_equal_opponent_and_a_half_point_is_that_opponents_rating() -> None:
    assert performance(100, np.array([[1723.0, 100.0]])) == pytest.approx(1723, abs=1e-3)


def test_three_of_four_games_won_is_400_log10_of_three_above() -> None:
    participants = np.array([[1500.0, points] for points in (0, 0, 0, 10)])
    assert performance(5, participants) == pytest.approx(1500 + 400 * np.log10(3), abs=1e-3)


def test_a_simulated_participant_gets_its_own_rating_back() -> None:
    rng = np.random.default_rng(0)
    ratings, own = rng.normal(1500, 300, 400), 1800.0
    found = []
    for _ in range(300):  # each opponent beats it with Elo's probability
        beaten = rng.random(len(ratings)) < 1 / (1 + 10 ** ((own - ratings) / 400))
        found.append(performance(1, np.column_stack([ratings, np.where(beaten, 2.0, 0.0)])))
    assert np.mean(found) == pytest.approx(own, abs=5)


def test_first_and_last_are_bounded() -> None:
    participants = np.array([[1500.0, 10.0], [1600.0, 20.0]])
    assert performance(30, participants) == HIGHEST
    assert performance(0, participants) == LOWEST


def test_an_evaluation_is_rated_over_the_contests_it_attempted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    contests = [
        {"contest": "1", "points": {"1/A": 500, "1/B": 1000}, "participants": [[1400, 500], [2000, 1500]]},
        {"contest": "2", "points": {"2/A": 500}, "participants": [[1600, 500], [1600, 0]]},
        {"contest": "3", "points": {"3/A": 500}, "participants": [[3000, 500]]},
    ]
    path = tmp_path / "codeforces_contests.jsonl"
    path.write_text("".join(json.dumps(contest) + "\n" for contest in contests))
    questions = (QuestionStats("1/A", 8, 2), QuestionStats("1/B", 8, 0), QuestionStats("2/A", 8, 0))
    rating = rate(Scores("codeforces", questions, isolation="bubblewrap"))
    assert set(rating.contests) == {"1", "2"}
    first = performance(500, np.array([[1400.0, 500.0], [2000.0, 1500.0]]))
    second = performance(0, np.array([[1600.0, 500.0], [1600.0, 0.0]]))
    assert rating.rating == pytest.approx((first + second) / 2)
    assert rating.stderr == pytest.approx(abs(first - second) / 2)
    assert rating.percentile == pytest.approx(
        100 * np.mean([x < rating.rating for x in (1400, 2000, 1600, 1600)])
    )
    with pytest.raises(TaskError, match="no contest has a problem"):
        rate(Scores("codeforces", (QuestionStats("9/Z", 1, 1),), isolation="bubblewrap"))
    path.write_text('{"contest": "1", "points": {"1/A": 500}, "participants": [1400]}\n')
    with pytest.raises(TaskError, match="contest 1: participants must be pairs"):
        rate(Scores("codeforces", questions, isolation="bubblewrap"))


def _contests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *contests: dict[str, object]) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    text = "".join(json.dumps({"contest": str(n), **each}) + "\n" for n, each in enumerate(contests, 1))
    (tmp_path / "codeforces_contests.jsonl").write_text(text)


def _scores(**questions: tuple[int, int, int]) -> Scores:
    """Of each problem (A1 is 1/A): samples, correct ones, ungraded ones."""
    stats = [
        QuestionStats(f"{name[1:]}/{name[0]}", n, right, grader_errors=ungraded)
        for name, (n, right, ungraded) in questions.items()
    ]
    return Scores("codeforces", tuple(stats), isolation="bubblewrap")


TOTALS = [[1500, 3500], [1500, 1500], [1500, 500]]
BY_PROBLEM = [
    [1500, {"1/A": 500, "1/B": 1000, "1/C": 2000}], [1500, {"1/A": 500, "1/B": 1000}], [1500, {"1/A": 500}],
]  # fmt: skip
WORTH = {"1/A": 500, "1/B": 1000, "1/C": 2000}


def test_a_model_that_solves_all_it_is_asked_is_not_rated_by_what_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _scores(A1=(1, 1, 0), B1=(1, 1, 0))
    _contests(tmp_path, monkeypatch, {"points": WORTH, "participants": TOTALS})
    with pytest.raises(TaskError, match="none of the 1 contests with a problem of this evaluation has all"):
        rate(asked)
    _contests(tmp_path, monkeypatch, {"points": WORTH, "participants": BY_PROBLEM})
    # Of A and B the first two participants solved both, as the model did; the third one less.
    assert rate(asked).rating == performance(1500, np.array([[1500.0, p] for p in (1500, 1500, 500)]))


def test_contests_count_by_what_is_known_of_them_and_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _contests(
        tmp_path,
        monkeypatch,
        {"points": WORTH, "participants": BY_PROBLEM},
        {"points": {"2/A": 500, "2/B": 700}, "participants": TOTALS},  # of which 2/B was not asked
        {"points": {"3/A": 300}, "participants": [[1200, 300], [1800, 0]]},
        {"points": {"4/A": 300}, "participants": [[1200, 300]]},  # of which nothing was
    )
    rating = rate(_scores(A1=(2, 1, 0), B1=(2, 0, 1), A2=(2, 2, 0), A3=(2, 0, 0), Z9=(2, 2, 0)))
    cover = rating.coverage
    assert set(rating.contests) == {"1", "3"}
    assert (cover.contests, cover.problems, cover.points) == ((2, 3), (3, 5), (1800, 3800))
    assert cover.ungraded == 1
    solved = rate(_scores(A1=(2, 1, 0), B1=(2, 1, 1), A2=(2, 2, 0), A3=(2, 0, 0), Z9=(2, 2, 0)))
    assert rating.bounds == (rating.rating, solved.rating)
    assert rating.bounds[0] < rating.bounds[1]
    assert solved.bounds == (solved.rating, solved.rating)
    text = "\n".join(rating.lines())
    assert "2 of 3 contests, 3 of 5 problems asked, 1800 of 3800 points" in text
    assert f"1 problems could not be graded: {rating.rating:.0f} if all of them were failed" in text
    assert f"{solved.rating:.0f} if all were solved" in text
    assert "could not be graded" not in "\n".join(solved.lines())
    assert json.loads(json.dumps(rating.to_json()))["coverage"]["contests"] == [2, 3]


@pytest.mark.parametrize(
    "participants",
    [
        [],
        [[1500]],
        [[1500, 1, 2]],
        [1500],
        [["x", 1]],
        [[1500, None]],
        [[1500, {"1/A": "x"}]],
        [[1500, 1], [1500, {}]],
        {},
    ],
)
def test_a_malformed_contest_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, participants: object
) -> None:
    _contests(tmp_path, monkeypatch, {"points": {"1/A": 500}, "participants": participants})
    with pytest.raises(TaskError, match=r"^codeforces_contests\.jsonl, contest 1: "):
        rate(_scores(A1=(1, 1, 0)))
