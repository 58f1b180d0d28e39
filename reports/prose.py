"""The report in plain sentences: what differs, what does not, and what a reader should beware of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evals.base.text import printable
from evals.comparison.compare import Comparison
from evals.comparison.ranking import Place
from reports import sweep_prose
from reports.cells import percent, signed
from reports.comparisons import Comparisons
from reports.contamination import seen_beside
from reports.leading_arms import counted, headline_of_arms
from reports.study import Evaluation, Study, some

SUBJECTS = {"winner": "The winner", "unconfirmed": "The best trial, which was not confirmed,"}
"""What a headline calls a sweep's models."""


MANY = 3
"""So many differences from one model make one sentence."""


@dataclass(frozen=True)
class Warning:
    """Something that limits what the figures mean; ``grave`` ones can change a conclusion.

    ``remedy`` says what to do about it.
    """

    text: str
    grave: bool = False
    remedy: str = ""


def headline(study: Study, comparisons: Comparisons) -> str:
    """One sentence: the finding."""
    found = comparisons.differences
    if not found:
        ended = [sweep for sweep in study.sweeps if sweep.state != "running"]
        if any(sweep.rows() and sweep.winner is None for sweep in ended):
            return "The sweep chose no winner."
        if study.evaluations or study.suites:
            return "What was measured, with its uncertainty."
        if study.sweeps:
            return sweep_prose.headline(study.sweeps)
        return "Training so far; nothing has been evaluated yet." if study.runs else "Nothing yet."
    if study.arms:
        return headline_of_arms(_of_arms(study, comparisons), study.untrained())
    if comparisons.crowded and comparisons.ranks:
        return " ".join(_in_front(benchmark, places) for benchmark, places in comparisons.ranks.items())
    better = [one for one in found if one.significant and one.difference.value > 0]
    worse = [one for one in found if one.significant and one.difference.value < 0]
    models = list(dict.fromkeys(one.b for one in found))
    subject = SUBJECTS.get(models[0], models[0]) if len(models) == 1 else _several(study)
    verb = "is" if len(models) == 1 else "are"
    base = f"the {found[0].a}" if found[0].a == "base" else found[0].a
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


def _several(study: Study) -> str:
    """What the models besides the first are: trained here, or measured only."""
    return "Trained models" if study.sweeps or study.runs else "The other models"


def _in_front(benchmark: str, places: Sequence[Place]) -> str:
    """Which models are first on a benchmark."""
    first = [place.name for place in places if place.group == 1]
    if len(first) == len(places):
        return (
            f"On {benchmark} the best of {len(places)} models does not differ significantly from any other."
        )
    if len(first) == 1:
        return f"On {benchmark} {first[0]} is ahead of all {len(places) - 1} others."
    others = f"{len(first) - 1} of the {len(places) - 1} others"
    return f"On {benchmark} {first[0]} comes first, but does not differ significantly from {others}."


def _where(found: list[Comparison], of: tuple[Comparison, ...]) -> str:
    if len({one.b for one in of}) > 1:
        return f"in {len(found)} of {len(of)} comparisons"
    if len(found) == len(of):
        return f"on {found[0].benchmark}" if len(of) == 1 else f"on all {len(of)} benchmarks"
    return f"on {some([one.benchmark for one in found])}"


def summary(study: Study, comparisons: Comparisons) -> list[str]:
    """The findings, a sentence or two each."""
    if study.arms:
        found = _of_arms(study, comparisons)
        told = list(_arms(found))
        if len(told) <= MOST_SENTENCES:
            return told
        base = study.baseline()
        return [*_arms([one for one in found if one.a == base]), counted(found, base)]
    if comparisons.crowded:
        told = list(crowd(comparisons))
    else:
        told = [_difference(one) for one in comparisons.differences]
    for sweep in study.sweeps:
        told.extend(sweep_prose.sentences(sweep))
    for run in study.runs:
        if not run.metrics.empty:
            told.append(
                f"{run.label} logged {int(run.metrics['step'].max())} training steps and is {run.state}."
            )
    return told


def _of_arms(study: Study, comparisons: Comparisons) -> list[Comparison]:
    """The differences without those of controls, which have a section of their own."""
    controls = {row.control for row in study.controls}
    return [one for one in comparisons.differences if not {one.a, one.b} & controls]


def _arms(differences: Sequence[Comparison]) -> Iterator[str]:
    """What is significant, a sentence each or one for many from the same model; and one on all others."""
    unclear: dict[str, list[str]] = {}
    for found in _by_baseline(differences).values():
        clear = [one for one in found if one.significant]
        if len(clear) >= MANY:
            yield _from_one(clear)
        else:
            yield from map(_difference, clear)
        for one in found:
            if not one.significant:
                unclear.setdefault(f"{one.b} and {one.a}", []).append(one.benchmark)
    if unclear:
        pairs = "; ".join(f"{pair} on {some(benchmarks)}" for pair, benchmarks in unclear.items())
        yield f"No significant difference: {pairs}."


MOST_SENTENCES = 12
"""Of more sentences than that on arms, those on pairs of trained arms are counted only."""


def _from_one(clear: Sequence[Comparison]) -> str:
    """Significant differences from one model on one benchmark."""
    told = ", ".join(
        f"{one.b} {percent(one.value_b).text}% ({signed(one.difference.value)} points, "
        f"{signed(one.difference.low)} to {signed(one.difference.high)})"
        for one in clear
    )
    first = clear[0]
    return (
        f"{first.benchmark}: {first.a} answers {percent(first.value_a).text}% correctly; significantly "
        f"different are {told}; 95% intervals, {first.questions} questions."
    )


def crowd(comparisons: Comparisons) -> Iterator[str]:
    """What many differences amount to: the groups of a ranking, or counts where there is none."""
    for benchmark, places in comparisons.ranks.items():
        groups: dict[int, list[Place]] = {}
        for place in places:
            groups.setdefault(place.group, []).append(place)
        told = "; ".join(
            f"{some([place.name for place in group])} ({_range(group)})" for group in groups.values()
        )
        what = "group" if len(groups) == 1 else "groups"
        yield (
            f"{benchmark}: {len(places)} models in {len(groups)} {what}, each of models that cannot be told "
            f"apart from its first: {told}."
        )
    for (first, benchmark), found in _by_baseline(comparisons.differences).items():
        better = sum(one.significant and one.difference.value > 0 for one in found)
        worse = sum(one.significant and one.difference.value < 0 for one in found)
        yield (
            f"{benchmark}: against {first}, {better} of {len(found)} are significantly better, {worse} "
            f"significantly worse, {len(found) - better - worse} not significantly different."
        )


def _range(group: Sequence[Place]) -> str:
    best, worst = group[0].estimate.value, group[-1].estimate.value
    high, low = f"{100 * best:.1f}", f"{100 * worst:.1f}"
    return f"{high}%" if high == low else f"{high} to {low}%"


def _by_baseline(differences: Sequence[Comparison]) -> dict[tuple[str, str], list[Comparison]]:
    found: dict[tuple[str, str], list[Comparison]] = {}
    for one in differences:
        found.setdefault((one.a, one.benchmark), []).append(one)
    return found


def _difference(one: Comparison) -> str:
    seeds = f", over {len(one.per_seed)} training seeds" if len(one.per_seed) > 1 else ""
    found = one.difference
    told = "a significant difference" if one.significant else "not significantly different"
    return (
        f"{one.benchmark}: {one.b} answers {percent(one.value_b).text}% correctly{seeds}, "
        f"{one.a} {percent(one.value_a).text}%; {signed(found.value)} points "
        f"(95% interval {signed(found.low)} to {signed(found.high)}, {one.questions} questions), {told}."
    )


def warnings(study: Study, comparisons: Comparisons) -> list[Warning]:
    """What limits the figures, gravest first."""
    found = [Warning(problem, True, _remedy(problem)) for problem in study.problems]
    found += [Warning(refusal, True, REFUSED) for refusal in comparisons.refused]
    found += [warning for key, text in SHARES.items() for warning in _shares(study, key, text)]
    for evaluation in study.evaluations:
        found.extend(_evaluation(evaluation))
    found += [Warning(text, True, SEEN) for text in seen_beside(study)]
    found.extend(_isolation(study))
    found.extend(_not_kept(study))
    found.extend(_missing(study))
    return sorted(found, key=lambda one: not one.grave)


Share = Literal["truncated", "unparsed", "grader_errors", "duplicates"]
"""Keys of scores.json that are shares of responses."""
SHARES: Mapping[Share, str] = {
    "truncated": "Responses cut by the length limit",
    "unparsed": "Responses without an answer that could be read",
    "grader_errors": "Responses that made the grader fail, counted as not correct",
    "duplicates": "Responses that repeat another one to the same question",
}
REMEDIES = {
    "truncated": "Raise eval.max_tokens and measure again, all models alike.",
    "unparsed": "Read some of these samples: where the answer is there and in another form than was "
    "asked for, "
    "compare models by another template or grader before calling one of them better.",
    "grader_errors": "Read what the grader said beside the samples; pass@1 has bounds in scores.json.",
    "duplicates": "Nothing, where answers are short; else sample at a higher temperature, for repeated "
    "samples "
    "tell nothing new.",
}
SEEN = "Measure on questions that were written after the model was trained."
REFUSED = "Measure all of them again with the same questions, template and sampling."
ISOLATED = "Install bubblewrap (`harness doctor` says what is missing) and grade again; the samples are kept."
AGAIN = "Run the same `harness eval` command again: it resumes where it stopped."
KEEP = "Keep samples.jsonl beside scores.json."
MEASURE = "Measure it with `harness eval MODEL --benchmarks NAME`, or leave the benchmark out of comparisons."


def _remedy(problem: str) -> str:
    """What to do about what could not be read, or has not finished."""
    if "not finished" in problem or "no summary.json yet" in problem:
        return "Wait, or run the same command again: it resumes. Then write the report again."
    if "failed" in problem:
        return "The reason stands in status.json and the run's log; the same command resumes."
    if "evaluated" in problem or "unfinished" in problem:
        return AGAIN
    return ""


FULL_ISOLATION = "bubblewrap+seccomp"
GRAVE = 0.05
"""From this share of responses on, a warning can change a conclusion."""


def _shares(study: Study, key: Share, text: str) -> Iterator[Warning]:
    """One warning for all evaluations with such responses, naming the worst."""
    shares = [(float(e.scores.get(key) or 0.0), f"{e.model} on {e.benchmark}") for e in study.evaluations]
    shares = [one for one in shares if one[0] > 0]
    if shares:
        worst, where = max(shares)
        others = f"; {len(shares) - 1} other evaluations have some too" if len(shares) > 2 else ""
        grave = worst >= GRAVE and key != "duplicates"  # a short answer is easily given twice
        yield Warning(f"{text}: {100 * worst:.1f}% for {where}{others}.", grave, REMEDIES[key])


def _isolation(study: Study) -> Iterator[Warning]:
    """The ways in which model-written programs were contained, where that is weaker than a sandbox."""
    levels: dict[str, list[str]] = {}
    for evaluation in study.evaluations:
        level = str(evaluation.scores.get("isolation") or "")
        if level not in ("", "none needed", FULL_ISOLATION):
            levels.setdefault(level, []).append(evaluation.benchmark)
    for level, benchmarks in levels.items():
        names = some(list(dict.fromkeys(benchmarks)))
        ran = (
            "no program was run, for want of isolation" if level == "none" else f"programs ran under {level}"
        )
        yield Warning(f"{names}: {ran}; full isolation is {FULL_ISOLATION}.", level == "none", ISOLATED)


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
        yield Warning(f"{where}: {len(scores['missing'])} questions have no sample{within}.", True, AGAIN)
    least, most = evaluation.samples_per_question
    if least != most:
        yield Warning(f"{where}: between {least} and {most} samples per question.", True, AGAIN)
    for text in scores.get("warnings") or []:
        yield Warning(f"{where}: {printable(str(text))}")


def _not_kept(study: Study) -> Iterator[Warning]:
    """The evaluations of which the samples are not there, a warning for each benchmark."""
    for benchmark in study.benchmarks():
        models = [e.model for e in study.evaluations if e.benchmark == benchmark and e.samples is None]
        if models:
            yield Warning(
                f"{some(models)} on {benchmark}: the samples were not kept, so none can be shown.",
                remedy=KEEP,
            )


def _missing(study: Study) -> Iterator[Warning]:
    """Questions that one model answered and another did not, and benchmarks that a model was not given."""
    for benchmark in study.benchmarks():
        shown = [e for e in study.evaluations if e.benchmark == benchmark]
        everything = {question for e in shown for question in e.questions}
        for one in shown:
            missing = len(everything) - len(one.questions)
            if one.questions and missing:
                yield Warning(
                    f"{one.model} on {benchmark}: {missing} questions are missing that others have.",
                    True,
                    AGAIN,
                )
        absent = [model for model in study.models() if model not in {e.model for e in shown}]
        if absent:
            yield Warning(f"{benchmark}: not measured for {some(absent)}.", remedy=MEASURE)
