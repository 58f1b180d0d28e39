"""The tables of evaluations and of what differs between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from evals.base.text import printable
from evals.comparison.compare import p_text as p_value
from evals.comparison.ranking import Place
from evals.stats.tables import FigureTable
from reports.cells import Cell, Column, Table, count, percent, points, signed
from reports.comparisons import Comparisons, best
from reports.samples.anchors import NOWHERE, Anchors
from reports.study import Evaluation, Study


def leaders(study: Study) -> dict[str, str | None]:
    """The group that is better than every other, by benchmark."""
    return {benchmark: best(study, benchmark) for benchmark in study.benchmarks()}


def results(study: Study, anchors: Anchors = NOWHERE, ahead: Mapping[str, str | None] | None = None) -> Table:
    """A row per model and benchmark: pass@1, cons@k and pass@k at the most samples, unparsed, truncated.

    ``ahead``: the ``leaders``, where they are known.
    """
    ahead = leaders(study) if ahead is None else ahead
    ordered = _by_benchmark(study)
    rows = [
        _result(
            evaluation,
            evaluation.group == ahead[evaluation.benchmark],
            anchors.first(evaluation.benchmark, evaluation.model),
        )
        for evaluation in ordered
    ]
    mixed: tuple[Column, ...] = ()
    differing = [_differing(evaluation, ordered) for evaluation in ordered]
    if any(differing):
        told = "where one benchmark was sampled in several ways"
        mixed = (Column("protocol", "Protocol", "text", told, filter=True),)
        rows = [(*row, Cell(text)) for row, text in zip(rows, differing, strict=True)]
    return Table(
        key="results",
        title="Scores",
        caption="Percent, with 95% intervals over questions. n: questions; k: samples per question. cons@k "
        "and pass@k are at the largest k. Bold: better than every other model on the benchmark, paired by "
        "question, at 5% after Holm's correction.",
        columns=(
            Column("benchmark", "Benchmark", "text", filter=True),
            Column("model", "Model", "text", filter=True),
            Column("n", "n", help="questions"),
            Column("k", "k", help="samples per question"),
            Column("pass@1", "pass@1", "interval", "mean share of correct samples"),
            Column("cons@k", "cons@k", "interval", "majority vote over all k samples; ties share the credit"),
            Column("pass@k", "pass@k", help="at least one of k samples correct"),
            Column("unparsed", "Unparsed", help="no answer could be read"),
            Column("truncated", "Truncated", help="cut by the length limit"),
            Column("grader_errors", "Grader errors", help="the grader failed; counted as not correct"),
            *mixed,
        ),
        rows=tuple(rows),
    )


def _differing(evaluation: Evaluation, every: Sequence[Evaluation]) -> str:
    """The settings in which this evaluation's protocol is unlike another's of the same benchmark."""
    flat = [_flat(one.protocol) for one in every if one.benchmark == evaluation.benchmark]
    own = _flat(evaluation.protocol)
    keys = [key for key in own if len({other.get(key, "") for other in flat}) > 1]
    return ", ".join(f"{key} {own[key]}" for key in keys)


def _flat(protocol: Mapping[str, Any]) -> dict[str, str]:
    sampling = protocol.get("sampling") or {}
    inner = {**protocol, **(sampling if isinstance(sampling, Mapping) else {})}
    return {key: str(value) for key, value in inner.items() if key != "sampling"}


def _result(evaluation: Evaluation, strong: bool, href: str) -> tuple[Cell, ...]:
    scores = evaluation.scores
    least, most = evaluation.samples_per_question
    k = Cell("–") if most is None else Cell(str(most) if least == most else f"{least}–{most}", float(most))
    return (
        Cell(evaluation.benchmark),
        Cell(evaluation.model, href=href),
        count(scores.get("questions")),
        k,
        percent(scores.get("pass@1"), strong),
        percent(_largest(scores.get("cons@k"))),
        percent(_largest(scores.get("pass@k"))),
        percent(scores.get("unparsed")),
        percent(scores.get("truncated")),
        percent(scores.get("grader_errors")),
    )


def ranking(ranks: Mapping[str, Sequence[Place]]) -> Table:
    """A row per model and benchmark, the highest pass@1 first."""
    rows = [
        (
            Cell(benchmark),
            Cell(str(place.best) if place.best == place.worst else f"{place.best}–{place.worst}", place.best),
            Cell(printable(place.name)),
            Cell(
                f"{100 * place.estimate.value:.1f}",
                place.estimate.value,
                *place.estimate.ci95,
                strong=place.group == 1,
            ),
            Cell(str(place.group), place.group),
        )
        for benchmark, places in ranks.items()
        for place in places
    ]
    return Table(
        key="ranking",
        title="Ranking",
        caption="pass@1 in percent on the questions that all models answered. Rank: the ranks that the tests "
        "leave open, 1 more than the number of models that are significantly better, to where those that are "
        "significantly worse begin. Group: models that do not differ significantly from the group's first. "
        "Every pair is compared question by question, at 5% for all pairs together.",
        columns=(
            Column("benchmark", "Benchmark", "text", filter=True),
            Column("rank", "Rank"),
            Column("model", "Model", "text"),
            Column("pass@1", "pass@1", "interval"),
            Column("group", "Group", filter=True),
        ),
        rows=tuple(rows),
    )


def suites(study: Study) -> Table | None:
    """A row per model, task of lm-eval and metric."""
    rows = [
        (
            Cell(suite.benchmark),
            Cell(suite.model),
            Cell(task),
            Cell(metric if kept == "none" else f"{metric} ({kept})"),
            _figure(value),
            _figure(figures.get(f"{metric}_stderr,{kept}")),
        )
        for suite in study.suites
        for task, figures in suite.figures.items()
        for name, value in figures.items()
        for metric, _, kept in [name.partition(",")]
        if kept and not metric.endswith("_stderr")
    ]
    if not rows:
        return None
    return Table(
        key="lm-eval",
        title="Metrics of lm-eval",
        caption="Every metric as lm-eval tells it, with lm-eval's own standard error.",
        columns=(
            Column("benchmark", "Benchmark", "text", filter=True),
            Column("model", "Model", "text", filter=True),
            Column("task", "Task", "text"),
            Column("metric", "Metric", "text", filter=True),
            Column("value", "Value"),
            Column("stderr", "Standard error"),
        ),
        rows=tuple(rows),
    )


def _figure(value: float | None) -> Cell:
    return Cell("–") if value is None or not math.isfinite(value) else Cell(f"{value:.4f}", value)


def differences(comparisons: Comparisons) -> Table:
    """A row per comparison."""
    rows = [
        (
            Cell(one.benchmark),
            Cell(f"{one.b} − {one.a}"),
            count(one.questions),
            points(one.difference.value, *one.difference.ci95, one.significant),
            Cell(p_value(one.p_value), one.p_value),
            Cell(p_value(one.p_value_holm), one.p_value_holm, strong=one.significant),
            count(one.gained),
            count(one.lost),
        )
        for one in comparisons.listed
    ]
    return Table(
        key="differences",
        title="Differences in pass@1",
        caption="Percentage points, paired by question, with 95% intervals; training seeds of a model are "
        "averaged. Gained and lost: questions with a higher and with a lower share of correct samples.",
        columns=(
            Column("benchmark", "Benchmark", "text"),
            Column("pair", "Comparison", "text"),
            Column("n", "n", help="questions in common"),
            Column("difference", "Difference", "interval"),
            Column("p", "p", help="sign-flip test over questions; McNemar's with one sample each"),
            Column("p_holm", "p (Holm)", help="corrected for all comparisons of this page"),
            Column("gained", "Gained"),
            Column("lost", "Lost"),
        ),
        rows=tuple(rows),
    )


def flips(comparisons: Comparisons, most: int = 5, anchors: Anchors = NOWHERE) -> Table:
    """The questions that changed most, ``most`` of each comparison."""
    rows = [
        (
            Cell(one.benchmark),
            Cell(f"{one.b} − {one.a}"),
            Cell(printable(flip.id), href=anchors.question(one.benchmark, flip.id)),
            replace(percent(flip.a), href=anchors.response(one.benchmark, flip.id, one.a)),
            replace(percent(flip.b), href=anchors.response(one.benchmark, flip.id, one.b)),
            Cell(signed(flip.b - flip.a), flip.b - flip.a),
        )
        for one in comparisons.listed
        for flip in one.flips[:most]
    ]
    return Table(
        key="flips",
        title="Questions that changed most",
        caption="Percent of correct samples; "
        + (f"up to {most} questions" if most > 1 else "the one question")
        + " of each comparison, either way.",
        columns=(
            Column("benchmark", "Benchmark", "text", filter=True),
            Column("pair", "Comparison", "text", filter=True),
            Column("question", "Question", "text"),
            Column("before", "Baseline"),
            Column("after", "Model"),
            Column("change", "Change", help="percentage points"),
        ),
        rows=tuple(rows),
    )


def at_k(study: Study) -> Table:
    """Two rows per model and benchmark, pass@k and cons@k, with a column per k."""
    found: list[tuple[Evaluation, str, Mapping[str, float | FigureTable]]] = []
    for each in _by_benchmark(study):
        found.append((each, "pass@k", each.scores.get("pass@k") or {}))
        found.append((each, "cons@k", each.scores.get("cons@k") or {}))
    ks = powers(int(k) for _, _, by_k in found for k in by_k)
    rows = [
        (
            Cell(evaluation.benchmark),
            Cell(evaluation.model),
            Cell(metric),
            *(percent(by_k.get(str(k))) for k in ks),
        )
        for evaluation, metric, by_k in found
        if by_k
    ]
    return Table(
        key="at-k",
        title="pass@k and cons@k by k",
        caption="Percent. pass@k: at least one of k samples is correct, the unbiased estimate from all "
        "samples. cons@k: the expected credit of a majority vote over k of them.",
        columns=(
            Column("benchmark", "Benchmark", "text", filter=True),
            Column("model", "Model", "text", filter=True),
            Column("metric", "Metric", "text", filter=True),
            *(Column(f"k={k}", f"k = {k}", "interval") for k in ks),
        ),
        rows=tuple(rows),
    )


def powers(ks: Iterable[int]) -> list[int]:
    """The powers of two among ``ks``, and the largest: what a table or a chart of every k shows."""
    every = set(ks)
    return sorted(k for k in every if k & (k - 1) == 0 or k == max(every))


def _by_benchmark(study: Study) -> list[Evaluation]:
    order = study.benchmarks()
    return sorted(study.evaluations, key=lambda evaluation: order.index(evaluation.benchmark))


def _largest(by_k: Mapping[str, float | FigureTable] | None) -> float | FigureTable | None:
    return by_k[max(by_k, key=int)] if by_k else None
