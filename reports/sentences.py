"""The report in plain sentences: what differs, what does not, and what a reader should beware of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reports.collect import Evaluation, Study, Sweep
from reports.comparisons import Comparisons, Difference
from reports.samples import printable
from reports.tables import is_share, objective, percent, signed


@dataclass(frozen=True)
class Warning:
    """Something that limits what the figures mean; ``grave`` ones can change a conclusion."""

    text: str
    grave: bool = False


def headline(study: Study, comparisons: Comparisons) -> str:
    """One sentence: the finding."""
    found = comparisons.differences
    if not found:
        if any(sweep.rows() and sweep.winner is None for sweep in study.sweeps):
            return "The sweep chose no winner."
        if study.evaluations:
            return "What was measured, with its uncertainty."
        return (
            "Training so far; nothing has been evaluated yet."
            if study.runs or study.sweeps
            else "Nothing yet."
        )
    if study.arms:
        return _headline_of_arms(found)
    better = [one for one in found if one.significant and one.value > 0]
    worse = [one for one in found if one.significant and one.value < 0]
    models = list(dict.fromkeys(one.model for one in found))
    subject = (
        f"The {models[0]}" if models == ["winner"] else models[0] if len(models) == 1 else "Trained models"
    )
    verb = "is" if len(models) == 1 else "are"
    base = f"the {found[0].reference}" if found[0].reference == "base" else found[0].reference
    if better and not worse:
        where = _where(better, found)
        return f"{subject} {verb} better than {base} {where}."
    if worse and not better:
        return f"{subject} {verb} worse than {base} {_where(worse, found)}."
    if better and worse:
        return (
            f"{subject} {verb} better than {base} {_where(better, found)}, and worse {_where(worse, found)}."
        )
    return f"No difference from {base} could be shown."


def _headline_of_arms(found: Sequence[Difference]) -> str:
    """Which arm is better than which other; those that are not trained come second."""
    between = [one for one in found if not _untrained(one.reference)]
    clear = [one for one in between if one.significant]
    if clear:
        return f"{len(clear)} of {len(between)} differences between trained arms are significant."
    gained = [one for one in found if _untrained(one.reference)]
    better = sum(one.significant and one.value > 0 for one in gained)
    trained = f"Training is better than none in {better} of {len(gained)} comparisons" if gained else ""
    between_arms = "no difference between trained arms could be shown"
    return f"{trained}; {between_arms}." if trained else f"{between_arms.capitalize()}."


def _untrained(group: str) -> bool:
    return group.endswith("base")


def _where(some: list[Difference], of: tuple[Difference, ...]) -> str:
    if len({one.model for one in of}) > 1:
        return f"in {len(some)} of {len(of)} comparisons"
    if len(some) == len(of):
        return f"on {some[0].benchmark}" if len(of) == 1 else f"on all {len(of)} benchmarks"
    return f"on {_join([one.benchmark for one in some])}"


def summary(study: Study, comparisons: Comparisons) -> list[str]:
    """The findings, a sentence or two each."""
    if study.arms:
        return list(_arms(comparisons))
    told = [_difference(one) for one in comparisons.differences]
    for sweep in study.sweeps:
        told.extend(_sweep(sweep))
    for run in study.runs:
        if not run.metrics.empty:
            told.append(
                f"{run.label} logged {int(run.metrics['step'].max())} training steps and is {run.state}."
            )
    return told


def _arms(comparisons: Comparisons) -> Iterator[str]:
    """The differences that are significant, a sentence each, and one on all others."""
    unclear: dict[str, list[str]] = {}
    for one in comparisons.differences:
        if one.significant:
            yield _difference(one)
        else:
            unclear.setdefault(f"{one.model} and {one.reference}", []).append(one.benchmark)
    if unclear:
        pairs = "; ".join(f"{pair} on {_join(benchmarks)}" for pair, benchmarks in unclear.items())
        yield f"Not told apart: {pairs}."


def _difference(one: Difference) -> str:
    seeds = f", over {len(one.per_seed)} training seeds" if len(one.per_seed) > 1 else ""
    told = "significant" if one.significant else "not significant: they cannot be told apart"
    return (
        f"{one.benchmark}: {one.model} answers {percent(one.model_value).text}% correctly{seeds}, "
        f"{one.reference} {percent(one.reference_value).text}%; {signed(one.value)} points "
        f"(95% interval {signed(one.low)} to {signed(one.high)}, {one.questions} questions), {told}."
    )


def _sweep(sweep: Sweep) -> Iterator[str]:
    rows = sweep.rows()
    if not rows:
        return
    states = [str(trial.get("state")) for trial in rows]
    names = (
        ("complete", "ran to the end"),
        ("pruned", "were pruned"),
        ("failed", "failed"),
        ("running", "still run"),
    )
    parts = [f"{states.count(state)} {text}" for state, text in names if state in states]
    spent = sum(float(trial.get("seconds") or 0) for trial in rows)
    took = f" They took {_duration(spent)} in all, pruned and failed ones included." if spent else ""
    yield f"The sweep tried {len(rows)} settings: {_join(parts)}.{took}"
    chosen = sweep.candidate
    if chosen is None:
        if sweep.state != "running":
            yield "No trial came to its end, so there is no winner."
        return
    at = (chosen.get("selection") or {}).get("value")
    fresh = [run["value"] for run in chosen.get("confirmation") or [] if run.get("value") is not None]
    if at is not None and fresh:
        mean = sum(fresh) / len(fresh)
        seeds = "a fresh seed" if len(fresh) == 1 else f"{len(fresh)} fresh seeds"
        seeds += f" for {sweep.confirm_steps} steps" if sweep.confirm_steps else ""
        yield (
            f"Trial {chosen['trial']} was chosen at {objective(sweep, at)} on the dev questions; trained "
            f"again with {seeds} its settings reach {objective(sweep, mean)}, {_gap(sweep, mean - at)}."
        )
    gain = (sweep.summary.get("selection") or {}).get("improvement")
    if gain and is_share(sweep.objective):
        low, high = (signed(bound) for bound in gain["ci95"])
        text = f"{signed(gain['value'])} points over the base policy on dev (95% interval {low} to {high})"
        yield f"Confirmed: {text}." if sweep.winner else f"No winner: the fresh seeds come to {text}."
    elif sweep.winner is None:
        yield "No winner is declared."


def _duration(seconds: float) -> str:
    """ "48 seconds", "12 minutes", "3.4 hours"."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _gap(sweep: Sweep, gap: float) -> str:
    if abs(gap) < 0.0005:
        return "the same"
    size = f"{100 * abs(gap):.1f} points" if is_share(sweep.objective) else f"{abs(gap):.3g}"
    return f"{size} {'lower' if gap < 0 else 'higher'}"


def warnings(study: Study, comparisons: Comparisons) -> list[Warning]:
    """What limits the figures, gravest first."""
    found = [Warning(problem, True) for problem in study.problems]
    found += [Warning(refusal, True) for refusal in comparisons.refused]
    found += [warning for key, text in SHARES.items() for warning in _shares(study, key, text)]
    for evaluation in study.evaluations:
        found.extend(_evaluation(evaluation))
    found.extend(_isolation(study))
    found.extend(_missing(study))
    return sorted(found, key=lambda one: not one.grave)


SHARES = {
    "truncated": "Responses cut by the length limit",
    "unparsed": "Responses without an answer that could be read",
    "grader_errors": "Responses that made the grader fail, counted as not correct",
    "duplicates": "Responses that repeat another one to the same question",
}
FULL_ISOLATION = "bubblewrap+seccomp"
GRAVE = 0.05
"""From this share of responses on, a warning can change a conclusion."""


def _shares(study: Study, key: str, text: str) -> Iterator[Warning]:
    """One warning for all evaluations with such responses, naming the worst."""
    shares = [(float(e.scores.get(key) or 0.0), f"{e.model} on {e.benchmark}") for e in study.evaluations]
    shares = [one for one in shares if one[0] > 0]
    if shares:
        worst, where = max(shares)
        others = f"; {len(shares) - 1} other evaluations have some too" if len(shares) > 2 else ""
        grave = worst >= GRAVE and key != "duplicates"  # a short answer is easily given twice
        yield Warning(f"{text}: {100 * worst:.1f}% for {where}{others}.", grave)


def _isolation(study: Study) -> Iterator[Warning]:
    """The ways in which model-written programs were contained, where that is weaker than a sandbox."""
    levels: dict[str, list[str]] = {}
    for evaluation in study.evaluations:
        level = str(evaluation.scores.get("isolation") or "")
        if level not in ("", "none needed", FULL_ISOLATION):
            levels.setdefault(level, []).append(evaluation.benchmark)
    for level, benchmarks in levels.items():
        names = _join(list(dict.fromkeys(benchmarks)))
        ran = (
            "no program was run, for want of isolation" if level == "none" else f"programs ran under {level}"
        )
        yield Warning(f"{names}: {ran}; full isolation is {FULL_ISOLATION}.", level == "none")


def _evaluation(evaluation: Evaluation) -> Iterator[Warning]:
    where = f"{evaluation.model} on {evaluation.benchmark}"
    scores = evaluation.scores
    if scores.get("missing"):
        bounds = (scores.get("pass@1") or {}).get("bounds") or []
        within = (
            f"; pass@1 lies between {percent(bounds[0]).text}% and {percent(bounds[1]).text}%"
            if bounds
            else ""
        )
        yield Warning(f"{where}: {len(scores['missing'])} questions have no sample{within}.", True)
    per_question = scores.get("samples_per_question") or {}
    if per_question.get("min") != per_question.get("max"):
        text = f"between {per_question['min']} and {per_question['max']} samples a question"
        yield Warning(f"{where}: {text}.", True)
    if evaluation.samples is None:
        yield Warning(f"{where}: the samples were not kept, so none can be shown.")
    for text in scores.get("warnings") or []:
        yield Warning(f"{where}: {printable(str(text))}")


def _missing(study: Study) -> Iterator[Warning]:
    """Questions that one model answered and another did not, and benchmarks that a model was not given."""
    for benchmark in study.benchmarks():
        shown = [e for e in study.evaluations if e.benchmark == benchmark]
        everything = {question for e in shown for question in e.questions}
        for one in shown:
            missing = len(everything) - len(one.questions)
            if one.questions and missing:
                yield Warning(
                    f"{one.model} on {benchmark}: {missing} questions are missing that others have.", True
                )
        absent = [model for model in study.models() if model not in {e.model for e in shown}]
        if absent:
            yield Warning(f"{benchmark}: not measured for {_join(absent)}.")


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
