"""scores.json as a table: ``Scores.to_json`` makes it, and reports read it as it stands.

A key that an older file lacks is missing here too; ``null`` is what is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict


class FigureTable(TypedDict, total=False):
    """A figure in its own unit. ``bounds``: if all that is missing were wrong, and if it were right.

    ``stderr_benchmark``: the standard error on these very questions, their samples drawn anew.
    ``monte_carlo_error`` is there where votes were drawn rather than counted; ``model`` names the regression
    behind a length-controlled win rate; ``judged`` and ``ungraded`` count the responses of a win rate.
    """

    value: float
    stderr: float
    stderr_benchmark: float | None
    ci95: list[float]
    bounds: list[float]
    monte_carlo_error: float
    model: str
    judged: int
    ungraded: int


class Range(TypedDict):
    """The least and the greatest of several counts."""

    min: int
    max: int


class Lengths(TypedDict):
    """Tokens of the responses, and pass@1 per 1,000 tokens of one."""

    total: int
    mean: float
    mean_correct: float | None
    mean_wrong: float | None
    accuracy_per_1000: float | None


class Bill(TypedDict):
    """What a server's responses cost (evals/price.py); ``uncounted``: samples whose tokens are not known."""

    prompt_tokens: int
    response_tokens: int
    price_per_million: dict[str, float]
    total: float
    uncounted: int


class JudgeBill(TypedDict):
    """What a judge read and wrote (evals/price.py), and what that cost where its price is known.

    ``uncounted``: requests whose tokens the judge's server does not tell.
    """

    requests: int
    prompt_tokens: int
    response_tokens: int
    uncounted: int
    price_per_million: NotRequired[dict[str, float]]
    total: NotRequired[float]


ScoresTable = TypedDict(
    "ScoresTable",
    {
        "version": int,
        "benchmark": str,
        "model": str,
        "questions": int,
        "samples_per_question": Range,
        "pass@1": FigureTable,
        "pass@k": dict[str, float],
        "pass@k_ci95": dict[str, list[float]],
        "pass^k": dict[str, float],
        "cons@k": dict[str, FigureTable],
        "unparsed": float | None,
        "truncated": float | None,
        "grader_errors": float,
        "timeouts": float,
        "duplicates": float,
        "isolation": str,
        "missing": list[str],
        "tokens": Lengths | None,
        "protocol": Mapping[str, Any] | None,
        "engine": str,
        "key": str,
        "source": str,
        "data_hash": str,
        "votes": bool,
        "warnings": list[str],
        "judge": Mapping[str, str] | None,
        "cost": Bill,
        "judge_cost": JudgeBill,
        "win_rate": FigureTable | None,
        "length_controlled": FigureTable | None,
        "per_question": list[dict[str, Any]],
    },
    total=False,
)
"""scores.json, and an entry of ``harness score --json``.

Shares (values, unparsed, truncated, grader_errors, timeouts, duplicates) are fractions of 1; null where it is
not known how the samples ended, or whether an answer was found.
"""
