"""Responses that are at hand in Python, graded: no file goes in, none comes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from evals.base.notebook import shown
from evals.book import Book
from evals.graders import registry
from evals.recorded import INLINE, Named, checked, source_of
from evals.records import Sample
from evals.scores import Scores
from evals.stats.intervals import Estimate
from evals.task import TaskError

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Scored:
    """Graded responses: what each came to, and what they amount to."""

    scores: Scores
    """Statistics per question, as ``harness score`` derives its figures from."""
    samples: tuple[Sample, ...]
    """Every response with its verdict, in the order of the rows."""

    @property
    def pass_at_1(self) -> Estimate:
        """The mean over questions of the share of right responses, a fraction of 1, with its 95% interval."""
        return self.scores.pass_at_1()

    @property
    def table(self) -> DataFrame:
        """A row a response: id, sample, correct, status, answer, detail, finish_reason, tokens, response."""
        import pandas as pd

        columns = ["id", "sample", "correct", "status", "answer", "detail"]
        columns += ["finish_reason", "tokens", "response"]
        return pd.DataFrame([sample.as_row() for sample in self.samples], columns=columns)

    def _repr_html_(self) -> str:
        one = self.pass_at_1
        told = f"pass@1 {one.value:.1%} [{one.low:.1%}, {one.high:.1%}]"
        return shown(f"{self.scores.benchmark}: {told}, {len(self.samples)} responses", self.table)


def score(
    rows: Iterable[Mapping[str, Any]] | DataFrame,
    grader: str | None = None,
    *,
    benchmark: str | None = None,
    unclosed_answers: bool = True,
) -> Scored:
    r"""Grades responses with the graders of the benchmarks, as ``harness score`` does.

    Args:
        rows: A mapping a response, or a pandas DataFrame: ``{"id", "response"}`` and optionally ``"sample"``
            (a number from 0, default 0), ``"finish_reason"`` ("stop" or "length"), ``"tokens"``; with
            ``grader`` also ``"gold"``, the right answer, and for "choice" optionally ``"choices"``.
        grader: "math" or "choice": what compares a response with the gold answer beside it.
        benchmark: In place of a grader, the task whose questions the ids name, such as "gsm8k".
        unclosed_answers: Whether a complete <answer> counts that ends a response whose <think> was never
            closed.

    Raises:
        TaskError: neither or both of grader and benchmark, an unknown one, or a row that cannot be graded
            (named by its number from 1), or the rows name several models.

    Example:
        >>> graded = score([{"id": 1, "response": r"So it is \boxed{4}.", "gold": 4}], grader="math")
        >>> graded.pass_at_1.value
        1.0
    """
    if (grader is None) == (benchmark is None):
        raise TaskError('score: name either grader="math" (golds in the rows) or benchmark="gsm8k", say')
    if grader is not None and grader not in INLINE:
        raise TaskError(f"score: unknown grader {grader!r}; accepted: {', '.join(INLINE)}")
    to_rows = getattr(rows, "to_dict", None)  # of a DataFrame
    found = cast("Iterable[Mapping[str, Any]]", to_rows("records") if to_rows else rows)
    scores, samples = _graded(found, grader or benchmark or "", unclosed_answers)
    return Scored(scores, tuple(samples))


def _graded(
    rows: Iterable[Mapping[str, Any]], benchmark: str, unclosed_answers: bool
) -> tuple[Scores, list[Sample]]:
    source = source_of(None, benchmark)
    named: Named = ((f"row {number}", partial(dict, row)) for number, row in enumerate(rows, start=1))
    with ExitStack() as stack:
        grader = stack.enter_context(registry.grader_of(source.task))
        book = Book(source.task.name, source.task, grader, None, stack)
        graded = list(book.fill(checked(named, source), unclosed_answers))
        if not book.models:
            raise TaskError("score: there are no rows")
        if len(book.models) > 1:
            raise TaskError(f"score: rows of one model at a time; these name {', '.join(book.models)}")
        [scores] = book.finish(source.questions)
    return scores, graded
