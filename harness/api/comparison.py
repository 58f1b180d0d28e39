"""``compare``: evaluations against each other, question by question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from evals.base.errors import UsageError
from evals.base.notebook import shown
from evals.comparison.compare import Arm, Comparison, compare_arms, read_arms
from evals.scored import Scored
from evals.scores import Scores
from harness.api.evaluation import MEASURED, Evaluation
from harness.api.run import RunResult
from harness.config.names import FINAL

if TYPE_CHECKING:
    from pandas import DataFrame

Side = Evaluation | RunResult | Scored | Scores | str | Path


@dataclass(frozen=True)
class Comparisons(Sequence[Comparison]):
    """Every pair on every benchmark that both have; a difference is the second's rate minus the first's."""

    comparisons: tuple[Comparison, ...]

    @overload
    def __getitem__(self, place: int) -> Comparison: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Comparison]: ...
    def __getitem__(self, place: int | slice) -> Comparison | Sequence[Comparison]:
        return self.comparisons[place]

    def __len__(self) -> int:
        return len(self.comparisons)

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self.comparisons)

    @property
    def table(self) -> DataFrame:
        """A row a pair and benchmark; rates and differences (b - a) are fractions of 1."""
        import pandas as pd

        return pd.DataFrame([_row(each) for each in self.comparisons])

    @property
    def sentences(self) -> list[str]:
        """Each result in words."""
        return [each.sentence for each in self.comparisons]

    def _repr_html_(self) -> str:
        return shown("Differences, b - a", self.table, *self.sentences)


def _row(found: Comparison) -> dict[str, Any]:
    return {
        "a": found.a,
        "b": found.b,
        "benchmark": found.benchmark,
        "questions": found.questions,
        "value_a": found.value_a,
        "value_b": found.value_b,
        "difference": found.difference.value,
        "low": found.difference.low,
        "high": found.difference.high,
        "p_value": found.p_value,
        "p_value_holm": found.p_value_holm,
        "significant": found.significant,
    }


def compare(*sides: Side, names: Sequence[str] = (), metric: str = "pass@1") -> Comparisons:
    """Compares evaluations question by question, as ``harness compare`` does.

    Of a pair the first is the baseline, and differences are the second's rate minus the first's.

    Args:
        sides: Two or more: what ``evaluate`` or ``score`` returned, a run that was measured, or a folder or
            file of an evaluation.
        names: What they are called, one each; by default the shortest parts of their folders that differ.
        metric: "pass@1", or "cons@k" for a k that every side has samples for.

    Raises:
        UsageError: fewer than two sides, one that holds no scores, or no benchmark in common.

    Example:
        >>> from harness import score
        >>> def graded(first: str) -> Scored:
        ...     rows = [{"id": 1, "response": first, "gold": 4}, {"id": 2, "response": "5", "gold": 5}]
        ...     return score(rows, grader="math")
        >>> compare(graded("3"), graded("4"), names=["before", "after"]).table["difference"].tolist()
        [0.5]
    """
    if len(sides) < 2:
        raise UsageError("compare: needs at least two evaluations")
    if names and (len(names) != len(sides) or len(set(names)) < len(names)):
        raise UsageError(f"compare: expected {len(sides)} distinct names, got {', '.join(names)}")
    folders = [_folder(side) for side in sides]
    known = [folder for folder in folders if folder is not None]
    if len(known) == len(sides):
        arms = read_arms(known)
    else:
        arms = [_arm(side, number) for number, side in enumerate(sides, start=1)]
    if names:
        arms = [Arm(name, arm.seeds) for name, arm in zip(names, arms, strict=True)]
    return Comparisons(tuple(compare_arms(arms, metric)))


def _folder(side: Side) -> Path | None:
    """Where a side's scores lie; None where they are in memory alone."""
    match side:
        case Evaluation():
            return side.folder
        case RunResult():
            found = [side.folder / "evals" / name for name in (FINAL, MEASURED)]
            measured = next((folder for folder in found if folder.is_dir()), None)
            if measured is None:
                raise UsageError(f"{side.folder}: the run has not been evaluated; call evaluate(run, [...])")
            return measured
        case str() | Path():
            return Path(side)
    return None


def _arm(side: Side, number: int) -> Arm:
    folder = _folder(side)
    if folder is not None:
        from evals.comparison.evaluations import read_evaluations

        return Arm(str(folder), (read_evaluations(folder),))
    scores = side.scores if isinstance(side, Scored) else side
    assert isinstance(scores, Scores)
    return Arm(scores.model or f"side {number}", ({scores.benchmark: scores},))
