"""The page's tables as plain data; HTML, Markdown, CSV and LaTeX are made from the same cells.

Shares are fractions of 1 in the data and in CSV, and percent with one decimal where people read them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from reports.collect import Evaluation, Study, Sweep
from reports.comparisons import Comparisons, best
from reports.samples import printable


@dataclass(frozen=True)
class Column:
    """``help`` explains the heading; ``filter`` offers a choice of this column's values on the page."""

    key: str
    title: str
    kind: Literal["text", "number", "interval"] = "number"
    help: str = ""
    filter: bool = False


@dataclass(frozen=True)
class Cell:
    """What is shown, the number behind it (what sorting and CSV use), and its interval where it has one."""

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    strong: bool = False

    @property
    def bounds(self) -> str:
        """The interval in percent, or in signed points where it can be negative: "51.2 to 65.4"."""
        if self.low is None or self.high is None:
            return ""
        if self.text[:1] in "+−":
            return f"{signed(self.low)} to {signed(self.high)}"
        return f"{100 * self.low:.1f}–{100 * self.high:.1f}"


@dataclass(frozen=True)
class Table:
    """``key`` names its files; rows hold a cell per column."""

    key: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def position(self, column: Column) -> int:
        """The column's index."""
        return self.columns.index(column)

    def values(self, position: int) -> list[str]:
        """The different texts of a column, in order of first appearance."""
        return list(dict.fromkeys(row[position].text for row in self.rows))


def results(study: Study) -> Table:
    """A row per model and benchmark: pass@1, cons@k and pass@k at the most samples, unparsed, truncated."""
    ahead = {benchmark: best(study, benchmark) for benchmark in study.benchmarks()}
    ordered = _by_benchmark(study)
    rows = [_result(evaluation, evaluation.group == ahead[evaluation.benchmark]) for evaluation in ordered]
    mixed: tuple[Column, ...] = ()
    differing = [_differing(evaluation, ordered) for evaluation in ordered]
    if any(differing):
        told = "where one benchmark was sampled in several ways"
        mixed = (Column("protocol", "Protocol", "text", told, filter=True),)
        rows = [(*row, Cell(text)) for row, text in zip(rows, differing, strict=True)]
    return Table(
        key="results",
        title="Scores",
        caption="Percent, with 95% intervals over questions. n: questions; k: samples a question. cons@k and "
        "pass@k are at the largest k. Bold: better than every other model on the benchmark, paired by "
        "question, at 5% after Holm's correction.",
        columns=(
            Column("benchmark", "Benchmark", "text", filter=True),
            Column("model", "Model", "text", filter=True),
            Column("n", "n", help="questions"),
            Column("k", "k", help="samples a question"),
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


def _result(evaluation: Evaluation, strong: bool) -> tuple[Cell, ...]:
    scores = evaluation.scores
    per_question = scores.get("samples_per_question") or {}
    least, most = per_question.get("min"), per_question.get("max")
    k = Cell("–") if most is None else Cell(str(most) if least == most else f"{least}–{most}", float(most))
    return (
        Cell(evaluation.benchmark),
        Cell(evaluation.model),
        count(scores.get("questions")),
        k,
        percent(scores.get("pass@1"), strong),
        percent(_largest(scores.get("cons@k"))),
        percent(_largest(scores.get("pass@k"))),
        percent(scores.get("unparsed")),
        percent(scores.get("truncated")),
        percent(scores.get("grader_errors")),
    )


def differences(comparisons: Comparisons) -> Table:
    """A row per comparison."""
    rows = [
        (
            Cell(one.benchmark),
            Cell(f"{one.model} − {one.reference}"),
            count(one.questions),
            points(one.value, one.low, one.high, one.significant),
            Cell(p_value(one.p), one.p),
            Cell(p_value(one.p_holm), one.p_holm, strong=one.significant),
            count(one.gained),
            count(one.lost),
        )
        for one in comparisons.differences
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
            Column("p", "p", help="sign-flip permutation test over questions"),
            Column("p_holm", "p (Holm)", help="corrected for all comparisons of this page"),
            Column("gained", "Gained"),
            Column("lost", "Lost"),
        ),
        rows=tuple(rows),
    )


def flips(comparisons: Comparisons, most: int = 5) -> Table:
    """The questions that changed most, ``most`` of each comparison."""
    rows = [
        (
            Cell(one.benchmark),
            Cell(f"{one.model} − {one.reference}"),
            Cell(printable(flip.id)),
            percent(flip.b),
            percent(flip.a),
            Cell(signed(flip.a - flip.b), flip.a - flip.b),
        )
        for one in comparisons.differences
        for flip in one.flips[:most]
    ]
    return Table(
        key="flips",
        title="Questions that changed most",
        caption=f"Percent of correct samples; up to {most} questions of each comparison, either way.",
        columns=(
            Column("benchmark", "Benchmark", "text", filter=True),
            Column("pair", "Comparison", "text", filter=True),
            Column("question", "Question", "text"),
            Column("before", "Reference"),
            Column("after", "Model"),
            Column("change", "Change", help="percentage points"),
        ),
        rows=tuple(rows),
    )


def at_k(study: Study) -> Table:
    """Two rows per model and benchmark, pass@k and cons@k, with a column per k."""
    metrics = ("pass@k", "cons@k")
    found = [(e, metric, e.scores.get(metric) or {}) for e in _by_benchmark(study) for metric in metrics]
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


def trials(sweep: Sweep) -> Table:
    """A row per trial: its settings, how it ended, and its last value on dev."""
    settings = setting_names(sweep)
    winner = (sweep.candidate or {}).get("trial")
    rows = []
    for trial in sweep.rows():
        params = trial.get("params") or {}
        history = trial.get("history") or []
        cells = [Cell(str(trial["number"]), float(trial["number"]), strong=trial["number"] == winner)]
        cells += [setting(params.get(name)) for name in settings]
        cells.append(Cell(str(trial.get("state", "running"))))
        cells.append(percent(_with_interval(trial), trial["number"] == winner))
        cells += [_limited(sweep, trial, name) for name in sweep.watched]
        cells.append(count(history[-1]["step"] if history else None))
        cells.append(number(trial.get("seconds"), 0))
        cells.append(count(trial.get("attempts")))
        cells.append(Cell(str(trial.get("reason") or "")))
        rows.append(tuple(cells))
    columns = [Column("trial", "Trial")]
    columns += [Column(name, short(name), help=name) for name in settings]
    columns += [
        Column("state", "State", "text", filter=True),
        Column("value", sweep.objective, "interval", "last value on the dev questions, percent"),
        *(Column(name, name, help=_watched_help(sweep, name)) for name in sweep.watched),
        Column("step", "Step", help="the last evaluated step"),
        Column("seconds", "Seconds", help="of all attempts"),
        Column("attempts", "Tries", help="process launches"),
        Column("reason", "Why it ended", "text"),
    ]
    return Table(
        key="trials",
        title="All trials",
        caption=f"{sweep.objective} in percent, with the 95% interval from its standard error. "
        "Bold: the trial that was chosen.",
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _limited(sweep: Sweep, trial: Mapping[str, Any], metric: str) -> Cell:
    """A further objective or constrained metric of a trial; beyond its limit it says so."""
    value = (trial.get("metrics") or {}).get(metric)
    most = (sweep.summary.get("constraints") or {}).get(metric)
    if value is None:
        return Cell("")
    return Cell(f"{value:.3g}" + (" (too much)" if most is not None and value > most else ""), float(value))


def _watched_help(sweep: Sweep, metric: str) -> str:
    most = (sweep.summary.get("constraints") or {}).get(metric)
    told = [f"at most {most:g}"] if most is not None else []
    told += [f"objective: {sweep.other_objectives[metric]}"] if metric in sweep.other_objectives else []
    return "; ".join(told)


def selection(sweep: Sweep) -> Table:
    """What the winner showed when it was chosen, and what fresh seeds showed afterwards."""
    winner = sweep.candidate
    longer = f", {sweep.confirm_steps} steps" if sweep.confirm_steps else ""
    rows: list[tuple[Cell, ...]] = []
    if winner:
        if winner.get("base"):
            rows.append((Cell("base policy, untrained"), percent(_with_interval(winner["base"]))))
        chosen = f"trial {winner['trial']}, as it was chosen"
        rows.append((Cell(chosen), percent(_with_interval(winner.get("selection") or {}))))
        for fresh in winner.get("confirmation") or []:
            label = f"trained again with seed {fresh['seed']}{longer}"
            rows.append((Cell(label), percent(_with_interval(fresh))))
    judged = sweep.summary.get("selection") or {}
    for other in judged.get("others") or []:
        rows.append(
            (Cell(f"trial {other['trial']}, as it was chosen"), percent(_with_interval(other["selection"])))
        )
        for fresh in other["confirmation"]:
            rows.append((Cell(f"seed {fresh['seed']}{longer}"), percent(_with_interval(fresh))))
    caption = "The best of several noisy figures is flattered by luck; the runs with fresh seeds are not."
    if _finite(judged.get("expected_luck")):
        luck = judged["expected_luck"]
        size = f"{100 * luck:.1f} points" if is_share(sweep.objective) else f"{luck:.3g}"
        caption += (
            f" Were all {judged.get('complete_trials')} finished trials equally good, "
            f"the best would still look better by {size} on average."
        )
    return Table(
        key="selection",
        title="Chosen, and then believed",
        caption=caption,
        columns=(Column("what", "Measured on dev", "text"), Column("value", sweep.objective, "interval")),
        rows=tuple(rows),
    )


def setting_names(sweep: Sweep) -> list[str]:
    """The settings that the trials vary, in the order of the search space."""
    seen = dict.fromkeys(sweep.space)
    seen |= dict.fromkeys(name for trial in sweep.rows() for name in trial.get("params") or {})
    return list(seen)


def short(name: str) -> str:
    """A setting's name without its stage: ``grpo.learning_rate`` -> ``learning_rate``."""
    return name.partition(".")[2] or name


def setting(value: object) -> Cell:
    """A setting's value with four significant digits."""
    if isinstance(value, bool) or value is None:
        return Cell("–" if value is None else str(value).lower())
    if isinstance(value, int):
        return Cell(str(value), float(value))
    if isinstance(value, float):
        return Cell(f"{value:.3g}", value)
    return Cell(str(value))


def percent(share: Any, strong: bool = False) -> Cell:
    """A share of 1, or a {"value", "ci95"} of them, in percent with one decimal."""
    if isinstance(share, Mapping):
        value, bounds = share.get("value"), share.get("ci95") or (None, None)
    else:
        value, bounds = share, (None, None)
    if not _finite(value):
        return Cell("–")
    low, high = (float(bound) if _finite(bound) else None for bound in bounds)
    return Cell(f"{100 * value:.1f}", float(value), low, high, strong)


def points(value: float, low: float, high: float, strong: bool) -> Cell:
    """A difference in percentage points, signed."""
    return Cell(signed(value), value, low, high, strong)


def signed(value: float) -> str:
    """+12.3 or −4.5: a difference of shares in percentage points, with a real minus sign."""
    return f"{100 * value:+.1f}".replace("-", "−")


def p_value(p: float) -> str:
    """Three decimals, or "<0.001"."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def count(value: Any) -> Cell:
    """A whole number."""
    return Cell(f"{int(value):,}", float(value)) if _finite(value) else Cell("–")


def number(value: Any, decimals: int) -> Cell:
    """A number with a fixed number of decimals."""
    return Cell(f"{value:,.{decimals}f}", float(value)) if _finite(value) else Cell("–")


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _largest(by_k: Mapping[str, Any] | None) -> Any:
    return by_k[max(by_k, key=int)] if by_k else None


def _with_interval(estimate: Mapping[str, Any]) -> dict[str, Any]:
    """{"value", "ci95"} from a value and its standard error (normal, kept within 0 and 1)."""
    value, stderr = estimate.get("value"), estimate.get("stderr")
    if not _finite(value) or not _finite(stderr):
        return {"value": value}
    return {"value": value, "ci95": [max(0.0, value - 1.96 * stderr), min(1.0, value + 1.96 * stderr)]}


def is_share(metric: str) -> bool:
    """Whether a metric is a fraction of 1 that people read as percent."""
    return "@" in metric or metric.endswith(("accuracy", "truncated", "unparsed"))


def objective(sweep: Sweep, value: float) -> str:
    return f"{100 * value:.1f}%" if is_share(sweep.objective) else f"{value:.3g}"
