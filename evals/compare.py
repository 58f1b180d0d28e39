"""Compares policies on the questions they share: paired differences, p-values, flips, a plain sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals import metrics, statistics
from evals.metrics import QuestionStats
from evals.samples import numbered_lines, parse_line
from evals.scores import Scores, read_scores
from evals.statistics import Estimate
from evals.tasks.task import TaskError

Floats = NDArray[np.float64]

SIGNIFICANT = 0.05
UNNAMED = "samples"
"""The benchmark of a file of samples that stands alone."""


@dataclass(frozen=True)
class Flip:
    """A question that the two policies answer differently: its rates of right answers."""

    id: str
    a: float
    b: float


@dataclass(frozen=True)
class Comparison:
    """How ``a`` differs from ``b`` on one benchmark, paired by question; differences are a - b.

    ``test`` names the test behind ``p_value``: McNemar's exact one where both have one sample a question,
    else the sign-flip permutation test; "t over seeds and questions" between arms of several seeds.
    ``p_value_holm`` is adjusted over all comparisons made together. ``gained`` questions have a higher rate
    under a, ``lost`` ones under b; ``flips`` are these questions, largest difference first. ``cautions`` are
    the reasons, if any, not to take the figure at its word.
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

    @property
    def sentence(self) -> str:
        """The result in words."""
        points = 100 * self.difference.value
        low, high = 100 * self.difference.low, 100 * self.difference.high
        # Said to be a difference only where the adjusted p-value and the interval both say so.
        clear = self.p_value_holm < SIGNIFICANT and not low <= 0 <= high
        if clear:
            verdict = f"{self.a} is {'better' if points > 0 else 'worse'} than {self.b}"
        else:
            verdict = f"no significant difference between {self.a} and {self.b}"
        text = (
            f"On {self.benchmark} ({self.questions} questions) {verdict}: {self.metric} "
            f"{100 * self.value_a:.1f}% against {100 * self.value_b:.1f}%, difference {points:+.1f} points "
            f"(95% interval {low:+.1f} to {high:+.1f}; p {_p(self.p_value)}"
        )
        if self.p_value_holm != self.p_value:
            text += f"; p {_p(self.p_value_holm)} after Holm's correction"
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
            "flips": [asdict(flip) for flip in self.flips],
            "cautions": list(self.cautions),
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: a policy's evaluation, or those of several training seeds, by benchmark."""

    name: str
    seeds: tuple[Mapping[str, Scores], ...]

    def benchmarks(self) -> list[str]:
        """What every seed was evaluated on."""
        return [name for name in self.seeds[0] if all(name in seed for seed in self.seeds)]


def compare(paths: Sequence[Path], metric: str = "pass@1") -> list[Comparison]:
    """Every pair of ``paths`` on every benchmark that both have, in the order given.

    A path is an evaluation's folder (with scores.json or samples.jsonl), a folder of such folders, one for
    each benchmark, or a file of graded samples. ``metric`` is "pass@1" or "cons@k" for a k that every
    evaluation has samples for. Questions that only one side has are left out and said so; different
    protocols are compared, but said to be different.

    Raises:
        TaskError: fewer than two paths, a path that holds no scores, an unknown metric, or no benchmark
            with questions in common.
    """
    if len(paths) < 2:
        raise TaskError("comparing needs at least two evaluations")
    found = [read_evaluations(path) for path in paths]
    named = {benchmark for scores in found for benchmark in scores} - {UNNAMED}
    if len(named) == 1:  # then a file that does not say what it answers is taken to answer the same
        [only] = named
        found = [dict.fromkeys([only], *scores.values()) for scores in found]
    arms = [Arm(name, (scores,)) for name, scores in zip(_names(paths), found, strict=True)]
    return compare_arms(arms, metric)


def compare_arms(arms: Sequence[Arm], metric: str = "pass@1") -> list[Comparison]:
    """Every pair of ``arms`` on every benchmark that both have.

    Where an arm has several training seeds, the interval is for new seeds and new questions; an arm with
    one is a fixed policy, such as a base model.

    Raises:
        TaskError: an unknown metric, or no benchmark with questions in common.
    """
    found = [
        _compare(a, b, benchmark, metric)
        for a, b in combinations(arms, 2)
        for benchmark in a.benchmarks()
        if benchmark in b.benchmarks()
    ]
    if not found:
        told = "; ".join(f"{arm.name} has {', '.join(arm.benchmarks()) or 'none'}" for arm in arms)
        raise TaskError(f"no two of these evaluations share a benchmark: {told}")
    adjusted = statistics.holm([comparison.p_value for comparison in found])
    return [replace(c, p_value_holm=p) for c, p in zip(found, adjusted, strict=True)]


def read_evaluations(path: Path) -> dict[str, Scores]:
    """The scores that ``path`` holds, by benchmark.

    Raises:
        TaskError: there is nothing there that holds scores or graded samples.
    """
    if path.is_file():
        beside = path.with_name("scores.json")
        known = path.name in ("scores.json", "samples.jsonl") and beside.exists()
        lone = read_scores(beside) if known else _read_samples(path, UNNAMED)
        return {lone.benchmark: lone}
    if not path.is_dir():
        raise TaskError(f"{path}: no such file or folder")
    for folders in ([path], sorted(inner for inner in path.iterdir() if inner.is_dir())):
        found = [scores for folder in folders if (scores := _read_folder(folder)) is not None]
        if found:
            return {scores.benchmark: scores for scores in found}
    raise TaskError(f"{path}: holds neither scores.json nor samples.jsonl, nor folders that do")


def _read_folder(folder: Path) -> Scores | None:
    if (folder / "scores.json").exists():
        return read_scores(folder / "scores.json")
    if (folder / "samples.jsonl").exists():
        return _read_samples(folder / "samples.jsonl", folder.resolve().name)
    return None


def _read_samples(path: Path, benchmark: str) -> Scores:
    """Scores of graded rows alone (``id``, ``correct``, perhaps ``sample``), from whatever program.

    Such scores have no protocol and no votes.
    """
    counts: dict[str, list[int]] = {}
    seen: set[tuple[str, int]] = set()
    for number, line in numbered_lines(path):
        try:
            name, sample, correct = _graded(parse_line(line))
            if (name, sample) in seen:
                raise ValueError(f"repeats sample {sample} of id {name!r}")
        except ValueError as error:
            raise TaskError(f"{path}, line {number} {error}") from None
        seen.add((name, sample))
        counted = counts.setdefault(name, [0, 0])
        counted[0] += 1
        counted[1] += correct
    if not counts:
        raise TaskError(f"{path}: holds no samples")
    questions = tuple(QuestionStats(name, n, correct) for name, (n, correct) in counts.items())
    return Scores(benchmark, questions, isolation="", votes=False)


def _graded(row: Mapping[str, Any]) -> tuple[str, int, bool]:
    name, sample, correct = row.get("id"), row.get("sample", 0), row.get("correct")
    if not isinstance(correct, bool):
        raise ValueError("has no 'correct': grade the file first, with `harness score FILE --out DIR`")
    if not isinstance(name, str | int) or type(sample) is not int:
        raise ValueError("needs 'id', and 'sample' as a whole number")
    return str(name), sample, correct


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names that tell the paths apart: their last parts, as many as it takes."""
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(len(part) for part in parts) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _compare(a: Arm, b: Arm, benchmark: str, metric: str) -> Comparison:
    scores = [seed[benchmark] for arm in (a, b) for seed in arm.seeds]
    tables = [{question.id: question for question in one.questions} for one in scores]
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    if not shared:
        raise TaskError(f"{a.name} and {b.name} have no question of {benchmark} in common")
    rows = [[table[name] for name in shared] for table in tables]
    values = np.stack(
        [_values(row, metric, one.votes, benchmark) for row, one in zip(rows, scores, strict=True)]
    )
    least = min(question.n for row in rows for question in row)
    resolution = (1 if metric == "pass@1" else _votes_in(metric)) / least
    values_a, values_b = values[: len(a.seeds)], values[len(a.seeds) :]
    differences = values_a.mean(axis=0) - values_b.mean(axis=0)
    gained, lost = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    if len(scores) > 2:
        test = "t over seeds and questions"
        difference, p_value = statistics.arms_estimate(values_a, values_b, resolution)
    else:
        difference = statistics.paired_estimate(differences, resolution)
        single = metric == "pass@1" and all(q.n == 1 and not q.duels for row in rows for q in row)
        test = "mcnemar" if single else "permutation"
        p_value = statistics.mcnemar(gained, lost) if single else statistics.permutation_p_value(differences)
    order = [index for index in np.argsort(-np.abs(differences), kind="stable") if differences[index] != 0]
    means_a, means_b = values_a.mean(axis=0), values_b.mean(axis=0)
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
    )


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
    protocols = [one.protocol for one in scores if one.protocol is not None]
    if differing := _differing(protocols):
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


def _differing(protocols: Sequence[Mapping[str, Any]]) -> str:
    """The settings in which protocols differ; the number of samples and the seed do not matter."""
    flat = [{**protocol, **protocol.get("sampling", {})} for protocol in protocols]
    ignored = {"name", "sampling", "samples", "seed"}
    keys = [key for key in (flat[0] if flat else ()) if key not in ignored]
    told = {key: [str(one.get(key)) for one in flat] for key in keys}
    return "; ".join(f"{key} {' and '.join(dict.fromkeys(v))}" for key, v in told.items() if len(set(v)) > 1)


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"= {value:.4f}" if value < 0.1 else f"= {value:.2f}"
