"""Compares policies on the questions they share: paired differences, p-values, flips, a plain sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.comparison.evaluations import UNNAMED, read_evaluations
from evals.scores import Scores
from evals.stats import intervals, metrics
from evals.stats.intervals import Estimate
from evals.stats.metrics import QuestionStats, repeats_itself
from evals.task import TaskError

Floats = NDArray[np.float64]

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Flip:
    """A question that the two policies answer differently: its rate of right answers under each."""

    id: str
    a: float
    b: float


@dataclass(frozen=True)
class Comparison:
    """How ``b`` differs from the baseline ``a`` on one benchmark, paired by question; differences are b - a.

    ``test`` names the test behind ``p_value``: McNemar's exact one where both have one sample per question
    that is right or wrong, else the sign-flip permutation test; "t over seeds and questions" where a side
    has several training seeds. ``p_value_holm`` is adjusted over all comparisons made together. ``gained``
    questions have a higher rate under b, ``lost`` ones a lower; ``flips`` are these questions, largest
    difference first. ``per_seed`` has the difference of each of b's seeds from a. ``cautions`` are the
    reasons, if any, not to take the figure at its word.
    """

    a: str
    b: str
    benchmark: str
    metric: str
    questions: int
    value_a: float
    value_b: float
    difference: Estimate
    test: str
    p_value: float
    p_value_holm: float
    gained: int
    lost: int
    flips: tuple[Flip, ...]
    cautions: tuple[str, ...] = ()
    per_seed: tuple[float, ...] = ()

    @property
    def significant(self) -> bool:
        """Whether both the p-value after Holm's correction and the interval speak for a difference."""
        return self.p_value_holm < SIGNIFICANT and not self.difference.low <= 0 <= self.difference.high

    @property
    def sentence(self) -> str:
        """The result in words."""
        found = self.difference
        if self.significant:
            verdict = f"{self.b} is {'better' if found.value > 0 else 'worse'} than {self.a}"
        else:
            verdict = f"no significant difference between {self.b} and {self.a}"
        text = (
            f"On {self.benchmark} ({self.questions} questions) {verdict}: {self.metric} "
            f"{100 * self.value_b:.1f}% against {100 * self.value_a:.1f}%, difference {points(found.value)} "
            f"points (95% interval {points(found.low)} to {points(found.high)}; {p_is(self.p_value)}"
        )
        if p_is(self.p_value_holm) != p_is(self.p_value):
            text += f"; {p_is(self.p_value_holm)} after Holm's correction"
        return " ".join([text + ").", *self.cautions])

    def to_json(self) -> dict[str, Any]:
        """The public contract of ``harness compare --json``, and what reports need besides."""
        return {
            "a": self.a,
            "b": self.b,
            "benchmark": self.benchmark,
            "metric": self.metric,
            "questions": self.questions,
            "value_a": self.value_a,
            "value_b": self.value_b,
            "difference": {
                "value": self.difference.value,
                "stderr": self.difference.stderr,
                "ci95": list(self.difference.ci95),
            },
            "test": self.test,
            "p_value": self.p_value,
            "p_value_holm": self.p_value_holm,
            "gained": self.gained,
            "lost": self.lost,
            "per_seed": list(self.per_seed),
            "flips": [asdict(flip) for flip in self.flips],
            "cautions": list(self.cautions),
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: a policy's evaluation, or one per training seed; each maps benchmarks to
    scores."""

    name: str
    seeds: tuple[Mapping[str, Scores], ...]

    def benchmarks(self) -> list[str]:
        """What every seed was evaluated on."""
        return [name for name in self.seeds[0] if all(name in seed for seed in self.seeds)]


def compare(paths: Sequence[Path], metric: str = "pass@1") -> list[Comparison]:
    """Every pair of ``paths`` on every benchmark that both have; of a pair the first given is the baseline.

    A path is an evaluation's folder (with scores.json or samples.jsonl), a folder of such folders, one
    per benchmark, or a file of graded samples. ``metric`` is "pass@1" or "cons@k" for a k that every
    evaluation has samples for. Questions that only one side has are left out and said so; different
    protocols are compared, but said to be different.

    Raises:
        TaskError: fewer than two paths, a path that holds no scores or two evaluations of one benchmark,
            an unknown metric, or no benchmark with questions in common.
    """
    return compare_arms(read_arms(paths), metric)


def read_arms(paths: Sequence[Path]) -> list[Arm]:
    """An arm for each of ``paths``, as ``compare`` reads them, under the shortest names that tell them apart.

    A run or a sweep stands for the evaluations in its folder ``evals``, base first.

    Raises:
        TaskError: fewer than two evaluations, or a path that holds no scores or two of one benchmark.
    """
    paths = [evaluation for path in paths for evaluation in _evaluations_of(path)]
    if len(paths) < 2:
        raise TaskError("comparing needs at least two evaluations")
    found = [read_evaluations(path) for path in paths]
    named = {benchmark for scores in found for benchmark in scores} - {UNNAMED}
    if len(named) == 1:  # then a file that does not say what it answers is taken to answer the same
        [only] = named
        found = [dict.fromkeys([only], *scores.values()) for scores in found]
    return [Arm(name, (scores,)) for name, scores in zip(_names(paths), found, strict=True)]


def _evaluations_of(path: Path) -> list[Path]:
    folder = path / "evals"
    found = [inner for inner in folder.iterdir() if inner.is_dir()] if folder.is_dir() else []
    return sorted(found, key=lambda inner: (inner.name != "base", inner.name)) or [path]


def compare_arms(arms: Sequence[Arm], metric: str = "pass@1") -> list[Comparison]:
    """Every pair of ``arms`` on every benchmark that both have; of a pair the first given is the baseline.

    Where an arm has several training seeds, the interval is for new seeds and new questions; an arm with
    one is a fixed policy, such as a base model.

    Raises:
        TaskError: an unknown metric, or no benchmark with questions in common.
    """
    found = [
        compare_pair(a, b, benchmark, metric)
        for a, b in combinations(arms, 2)
        for benchmark in a.benchmarks()
        if benchmark in b.benchmarks()
    ]
    if not found:
        told = "; ".join(f"{arm.name} has {', '.join(arm.benchmarks()) or 'none'}" for arm in arms)
        raise TaskError(f"no two of these evaluations share a benchmark: {told}")
    return holm(found)


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with their p-values adjusted for having been made together."""
    adjusted = intervals.holm([comparison.p_value for comparison in comparisons])
    return [replace(c, p_value_holm=p) for c, p in zip(comparisons, adjusted, strict=True)]


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names that tell the paths apart: their last parts, as many as it takes."""
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(len(part) for part in parts) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def compare_pair(a: Arm, b: Arm, benchmark: str, metric: str = "pass@1") -> Comparison:
    """``b`` against the baseline ``a`` on one benchmark, not yet corrected for other comparisons.

    Raises:
        TaskError: an unknown metric, or no question in common.
    """
    scores = [seed[benchmark] for arm in (a, b) for seed in arm.seeds]
    tables = [{question.id: question for question in one.questions} for one in scores]
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    if not shared or (len(shared) < 2 < len(scores)):  # several seeds need two questions at least
        few = "no question" if not shared else "a single question"
        raise TaskError(f"{a.name} and {b.name} have {few} of {benchmark} in common")
    rows = [[table[name] for name in shared] for table in tables]
    values = np.stack(
        [_values(row, metric, one.votes, benchmark) for row, one in zip(rows, scores, strict=True)]
    )
    resolution = (1 if metric == "pass@1" else _votes_in(metric)) / _samples(rows)
    values_a, values_b = values[: len(a.seeds)], values[len(a.seeds) :]
    means_a, means_b = values_a.mean(axis=0), values_b.mean(axis=0)
    differences = means_b - means_a
    gained, lost = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    if len(scores) > 2:
        test = "t over seeds and questions"
        difference, p_value = intervals.arms_estimate(values_b, values_a, resolution)
    else:
        difference = intervals.paired_estimate(differences, resolution)
        # A duel can be a tie or won in part: one sample per question is then no pair of right and wrong.
        single = metric == "pass@1" and all(q.n == 1 and not q.duels for row in rows for q in row)
        test = "mcnemar" if single else "permutation"
        p_value = intervals.mcnemar(gained, lost) if single else intervals.permutation_p_value(differences)
    order = [index for index in np.argsort(-np.abs(differences), kind="stable") if differences[index] != 0]
    return Comparison(
        a=a.name,
        b=b.name,
        benchmark=benchmark,
        metric=metric,
        questions=len(shared),
        value_a=float(values_a.mean()),
        value_b=float(values_b.mean()),
        difference=difference,
        test=test,
        p_value=p_value,
        p_value_holm=p_value,
        gained=gained,
        lost=lost,
        flips=tuple(Flip(shared[i], float(means_a[i]), float(means_b[i])) for i in order),
        cautions=_cautions(scores, len(shared)),
        per_seed=tuple(float((row - means_a).mean()) for row in values_b),
    )


def _samples(rows: Sequence[Sequence[QuestionStats]]) -> int:
    """The least number of samples per question that could have differed from each other."""
    return min(1 if repeats_itself(row) else min(question.n for question in row) for row in rows)


def _values(questions: Sequence[QuestionStats], metric: str, votes: bool, benchmark: str) -> Floats:
    """The metric for each question."""
    if metric == "pass@1":
        return metrics.pass_at_1(questions)
    k, least = _votes_in(metric), min(question.n for question in questions)
    if not votes:
        raise TaskError(f"answers to {benchmark} are not voted on, so there is no {metric}")
    if k > least:
        raise TaskError(f"{metric} of {benchmark} needs {k} samples a question, there are {least}")
    return metrics.cons_at_k(questions, k).values


def _votes_in(metric: str) -> int:
    """The k of "cons@k"."""
    kind, _, number = metric.partition("@")
    if kind != "cons" or not (number.isascii() and number.isdigit()) or int(number) < 1:
        raise TaskError(f"unknown metric {metric!r}; accepted: pass@1, or cons@k such as cons@8")
    return int(number)


def _cautions(scores: Sequence[Scores], paired: int) -> tuple[str, ...]:
    """Why the comparison of these evaluations is less than it seems."""
    cautions = []
    if differing := protocols_differ(scores):
        cautions.append(f"The protocols differ ({differing}): policies and ways of asking are mixed up.")
    if len({(one.judge["model"], one.judge["prompt"]) for one in scores if one.judge}) > 1:
        cautions.append("The judges, or what they were asked, differ: their verdicts are not comparable.")
    left_out = [len(one.questions) - paired for one in scores]
    if any(left_out):
        told = ", ".join(map(str, left_out))
        cautions.append(f"Questions that not all sides answered are left out ({told}).")
    if len({one.data_hash for one in scores if one.data_hash}) > 1:
        cautions.append("The sets of questions, their texts or golds are not the same on all sides.")
    ungraded = [sum(question.grader_errors for question in one.questions) for one in scores]
    if any(ungraded):
        cautions.append(f"Samples that could not be graded count as wrong ({', '.join(map(str, ungraded))}).")
    return tuple(cautions)


def protocols_differ(scores: Sequence[Scores]) -> str:
    """The settings in which the recorded protocols differ, as "temperature 0.6 and 1.0"; "" where in none.

    Where only some of them recorded one, that is said. The number of samples and the seed do not matter, nor
    does the name of a protocol whose sampling is stated. Another program's protocol (lm-eval's) is known by
    its name, which holds the version.
    """
    protocols = [one.protocol for one in scores if one.protocol]
    if protocols and len(protocols) < len(scores):
        return "recorded for some only"
    stated = all("sampling" in protocol for protocol in protocols)
    ignored = {"sampling", "samples", "seed"} | ({"name"} if stated else set())
    flat = [{**protocol, **(protocol.get("sampling") or {})} for protocol in protocols]
    keys = [key for key in dict.fromkeys(key for one in flat for key in one) if key not in ignored]
    told = {key: list(dict.fromkeys(str(one.get(key)) for one in flat)) for key in keys}
    return "; ".join(f"{key} {' and '.join(values)}" for key, values in told.items() if len(values) > 1)


def points(share: float) -> str:
    """A difference of shares in percentage points: "+12.3", "-4.5", "0.0"."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def p_text(value: float) -> str:
    """A p-value with three decimals, or "< 0.001"."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_is(value: float) -> str:
    """ "p = 0.012" or "p < 0.001"."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
