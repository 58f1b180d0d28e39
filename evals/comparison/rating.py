"""A Codeforces rating from the problems that a model solved, after CodeElo (Quan et al., 2025).

In each contest the model is one more participant. Its rating there is the r at which the rank expected among
the participants, 1 + sum_i 1 / (1 + 10^((r - r_i) / 400)), is the rank that its points reach; the rating is
the mean over contests. As in CodeElo a problem is solved if any of the attempts passes; unlike there, a wrong
attempt costs no points, and participants with as many points count half.

HARNESS_DATA/codeforces_contests.jsonl has a contest a line, participants as [rating before it, points] or as
[rating, {problem: points}]:

    {"contest": "1", "points": {"1/A": 500, "1/B": 1000}, "participants": [[1500, 500], …]}
    {"contest": "2", "points": {"2/A": 500, "2/B": 1000}, "participants": [[1500, {"2/A": 500}], …]}

The model is ranked by the problems that it was asked, and so must the participants be: of the first kind a
contest counts only if the evaluation has all its problems, of the second all are ranked by those it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from evals.scores import Scores
from evals.task import TaskError
from evals.tasks.data import Row, read_given

LOWEST, HIGHEST = 0.0, 4000.0
"""A rating is kept between these: first of all, or last, has no finite one."""
COLUMNS = ("contest", "points", "participants")
HOW = "it holds the contests' points and participants, see evals/comparison/rating.py"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Coverage:
    """What a rating rests on: [counted, there are] each.

    ``contests`` are those with a problem of the evaluation; ``problems`` the evaluation's; ``points`` what
    the counted contests' problems are worth, asked and all. ``ungraded`` problems count as failed.
    """

    contests: tuple[int, int]
    problems: tuple[int, int]
    points: tuple[float, float]
    ungraded: int


@dataclass(frozen=True)
class Rating:
    """``percentile``: the share, in percent, of the contests' participants with a lower rating.

    ``stderr`` is over contests; None for a single one. ``bounds`` are the rating if every ungraded problem
    was failed, and if all were solved.
    """

    rating: float
    stderr: float | None
    percentile: float
    bounds: tuple[float, float]
    coverage: Coverage
    contests: Mapping[str, float]

    def lines(self) -> list[str]:
        """The rating in words, and what it rests on."""
        error = "" if self.stderr is None else f" ± {self.stderr:.0f}"
        cover = self.coverage
        said = [
            f"Rating {self.rating:.0f}{error}, percentile {self.percentile:.1f}",
            f"over {cover.contests[0]} of {cover.contests[1]} contests, {cover.problems[0]} of "
            f"{cover.problems[1]} problems asked, {cover.points[0]:g} of {cover.points[1]:g} points there",
        ]
        if cover.contests[0] < cover.contests[1]:
            said.append(
                "the other contests have problems that were not asked, and no participants' points by problem"
            )
        if cover.ungraded:
            said.append(
                f"{cover.ungraded} problems could not be graded: {self.bounds[0]:.0f} if all of them were "
                f"failed, {self.bounds[1]:.0f} if all were solved"
            )
        return said

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Contest:
    """``worth``: its problems' points; ``participants``: rating and points, in all or by problem."""

    name: str
    worth: Mapping[str, float]
    participants: Sequence[tuple[float, float | Mapping[str, float]]]

    def ranked(self, asked: Set[str]) -> Floats | None:
        """Participants' ratings and points, (n, 2), over the problems ``asked``; None where nobody knows."""
        problems = self.worth.keys() & asked
        totals = [points for _, points in self.participants if not isinstance(points, Mapping)]
        if not problems or (totals and problems != self.worth.keys()):
            return None
        rows = [
            (rating, sum(points.get(p, 0.0) for p in problems) if isinstance(points, Mapping) else points)
            for rating, points in self.participants
        ]
        return np.array(rows, dtype=np.float64)


def rate(scores: Scores) -> Rating:
    """The rating that an evaluation on the task "codeforces" amounts to.

    Raises:
        TaskError: there are no contests, a contest is malformed, or none counts.
    """
    asked = {question.id for question in scores.questions}
    solved = {question.id for question in scores.questions if question.correct}
    ungraded = {q.id for q in scores.questions if q.grader_errors and not q.correct}
    touched = 0
    counted: list[tuple[_Contest, Floats]] = []
    for row in read_given("codeforces_contests", COLUMNS, HOW):
        contest = _contest(row)
        touched += bool(contest.worth.keys() & asked)
        if (participants := contest.ranked(asked)) is not None:
            counted.append((contest, participants))
    if not counted:
        raise TaskError(f"codeforces_contests.jsonl: {_why_none(touched)}")
    found, if_solved = _performances(counted, solved), _performances(counted, solved | ungraded)
    ratings = np.array(list(found.values()))
    rating = float(ratings.mean())
    everyone = np.concatenate([participants[:, 0] for _, participants in counted])
    problems = {problem for contest, _ in counted for problem in contest.worth} & asked
    return Rating(
        rating=rating,
        stderr=float(ratings.std(ddof=1) / np.sqrt(len(ratings))) if len(ratings) > 1 else None,
        percentile=100 * float(np.mean(everyone < rating)),
        bounds=(rating, float(np.mean(list(if_solved.values())))),
        coverage=Coverage(
            contests=(len(counted), touched),
            problems=(len(problems), len(asked)),
            points=(
                sum(_points(contest, asked) for contest, _ in counted),
                sum(sum(contest.worth.values()) for contest, _ in counted),
            ),
            ungraded=len(problems & ungraded),
        ),
        contests=found,
    )


def _why_none(touched: int) -> str:
    if not touched:
        return "no contest has a problem of this evaluation"
    return (
        f"none of the {touched} contests with a problem of this evaluation has all its problems in it; "
        "participants' points by problem would do for a part (see evals/comparison/rating.py)"
    )


def _performances(counted: Sequence[tuple[_Contest, Floats]], solved: Set[str]) -> dict[str, float]:
    return {contest.name: performance(_points(contest, solved), people) for contest, people in counted}


def _points(contest: _Contest, problems: Set[str]) -> float:
    return sum(worth for problem, worth in contest.worth.items() if problem in problems)


def performance(points: float, participants: Floats) -> float:
    """The rating whose expected rank is the rank of ``points``; participants: (n, 2) ratings and points."""
    ratings, reached = participants[:, 0], participants[:, 1]
    rank = 1 + float(np.sum(reached > points)) + float(np.sum(reached == points)) / 2

    def surplus(rating: float) -> float:
        return expected_rank(rating, ratings) - rank

    if surplus(HIGHEST) >= 0:
        return HIGHEST
    if surplus(LOWEST) <= 0:
        return LOWEST
    return float(brentq(surplus, LOWEST, HIGHEST, xtol=1e-6))


def expected_rank(rating: float, ratings: Floats) -> float:
    """1 and the expected number of participants who do better."""
    return 1 + float(np.sum(1 / (1 + 10 ** ((rating - ratings) / 400))))


def _contest(row: Row) -> _Contest:
    try:
        worth = {str(problem): float(points) for problem, points in row["points"].items()}
        people = [_participant(each) for each in row["participants"]]
        if not people or len({isinstance(points, Mapping) for _, points in people}) > 1:
            raise ValueError("participants must all have their points in all, or all by problem")
    except (AttributeError, TypeError, ValueError) as error:
        raise TaskError(f"codeforces_contests.jsonl, contest {row['contest']}: {error}") from None
    return _Contest(str(row["contest"]), worth, people)


def _participant(pair: Any) -> tuple[float, float | Mapping[str, float]]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise ValueError("participants must be pairs of rating and points")
    rating, points = pair
    if isinstance(points, Mapping):
        return float(rating), {str(problem): float(worth) for problem, worth in points.items()}
    return float(rating), float(points)
