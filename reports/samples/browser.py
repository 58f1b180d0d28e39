"""Which samples the page shows, by a stated rule, so that it stays small however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from markupsafe import Markup

from evals.asked import known_questions, read_asked
from evals.base.text import printable
from evals.stats.metrics import Vote
from evals.task import Question
from reports.comparisons import Comparisons
from reports.figures.svg import slug
from reports.samples import records as samples
from reports.samples.anchors import Anchors
from reports.samples.shown import Shown, shorten
from reports.study import Evaluation, Study, some
from reports.templating import macros
from reports.turned import LISTED, turned

BUDGET = 700_000
"""Bytes of a page that questions take at most, together; less where the rest of the page takes more."""
QUESTIONS = 30
"""Questions shown of a benchmark."""
FLIPS, CHANGED = 5, 12
"""Questions that a table names of each comparison as those that changed most, and of them those shown."""
PRINTED = 3
"""Of them those whose responses are printed; of a crowd of models one."""
CROWD = 12
"""Of more models on a benchmark than that, each group's first one has its responses shown, of up to so many
groups; the others have their counts."""
CLASSES = 6
"""Vote classes shown of a question."""

RULE = (
    f"Up to {QUESTIONS} questions of each benchmark: first those that most samples of one model answer "
    "rightly and most of the other wrongly, either way, and that changed most, then a spread from the "
    "hardest to the easiest. Of each question and model the first sample of each verdict; where more than "
    f"{CROWD} models were asked, only of each one's first training seed and of {CROWD} models at most. Of a "
    f"response longer than {samples.LONGEST:,} characters its first two thirds and its last third of that; "
    f"as many questions as fit {BUDGET:,} bytes and the page's limit. Every sample is in samples.jsonl, and "
    "harness view shows it."
)


@dataclass(frozen=True)
class ModelView:
    """What one model did with one question. ``prompt`` is the text that it continued, where that is known."""

    model: str
    group: str
    anchor: str
    correct: int
    samples: int
    votes: tuple[Vote, ...]
    abstained: int
    shown: tuple[Shown, ...]
    prompt: str


@dataclass(frozen=True)
class QuestionView:
    """One question across models; ``disagree``: most samples are right for one model and not for another.

    ``turn`` says what became of it from the baseline to the model that differs most ("wrong → right"), ""
    where nothing turned. ``prompts`` has each prompt with the models that got it.
    """

    benchmark: str
    id: str
    anchor: str
    rate: float
    disagree: bool
    turn: str
    text: str
    gold: str
    tests: str
    prompts: tuple[tuple[str, str], ...]
    models: tuple[ModelView, ...]
    printed: bool


def browse(study: Study, compared: Comparisons | None = None, room: int | None = None) -> list[QuestionView]:
    """The questions and samples to show: of each benchmark in turn one, while there is ``room`` in bytes."""
    left = BUDGET if room is None else min(room, BUDGET)
    benchmarks = study.benchmarks()
    given: set[str] = set()
    found: dict[str, list[QuestionView]] = {benchmark: [] for benchmark in benchmarks}
    waiting = {benchmark: _views(study, compared, benchmark, given) for benchmark in benchmarks}
    while waiting:
        for benchmark in list(waiting):
            view = next(waiting[benchmark], None)
            size = 0 if view is None else len(card(view).encode())
            if view is None or size > left:
                del waiting[benchmark]
                continue
            left -= size
            found[benchmark].append(view)
    return [view for benchmark in benchmarks for view in found[benchmark]]


def _views(
    study: Study, compared: Comparisons | None, benchmark: str, given: set[str]
) -> Iterator[QuestionView]:
    """The questions of a benchmark, those first that matter most."""
    shown = [e for e in study.evaluations if e.benchmark == benchmark and e.questions]
    asked = known_questions(benchmark) or _written(shown)
    turns = _turns(study, compared, benchmark)
    chosen = _chosen(_by_difficulty(shown), [*turns, *_changed(compared, benchmark)])
    for number, question in enumerate(chosen):
        anchor = _anchor(benchmark, question, given)
        view = _view(benchmark, question, anchor, asked.get(question), shown)
        yield replace(
            view, turn=turns.get(question, ""), printed=number < (PRINTED if len(shown) <= CROWD else 1)
        )


def card(view: QuestionView) -> Markup:
    """A question on the page."""
    return Markup(macros("parts.html").question_card(view))


def short_of(views: Sequence[QuestionView], study: Study) -> str:
    """What the page has no room for: questions that it would show, and responses of a crowd of models."""
    told = []
    for benchmark in study.benchmarks():
        ids = {key for e in study.evaluations if e.benchmark == benchmark for key in e.questions}
        shown = sum(view.benchmark == benchmark for view in views)
        if shown < min(QUESTIONS, len(ids)):
            told.append(f"{shown} of the {len(ids):,} questions of {benchmark}")
    sentences = [f"This page has room for {some(told)}."] if told else []
    most = max((len(view.models) for view in views), default=0)
    quoted = max((sum(bool(model.shown) for model in view.models) for view in views), default=0)
    if quoted and most > CROWD:
        sentences.append(f"Of {most} models, {quoted} have their responses here, the others only counts.")
    return " ".join([*sentences, "harness view shows every sample."]) if sentences else ""


def anchors(views: Sequence[QuestionView], study: Study) -> Anchors:
    """The ids of what ``browse`` chose."""
    known = {printable(key): key for e in study.evaluations for key in e.questions}
    questions = {(view.benchmark, known.get(view.id, view.id)): view.anchor for view in views}
    responses: dict[tuple[str, str, str], str] = {}
    for view in views:
        for model in view.models:
            for name in (model.model, model.group):
                responses.setdefault((view.benchmark, known.get(view.id, view.id), name), model.anchor)
    return Anchors(questions, responses)


def _turns(study: Study, compared: Comparisons | None, benchmark: str) -> dict[str, str]:
    """The questions that turned in the largest difference on a benchmark, the largest change first, each way
    in turn: id -> which way."""
    one = compared.largest(benchmark) if compared is not None else None
    if one is None:
        return {}
    found = turned(study, one)
    pairs = zip_longest(found.became_right[:LISTED], found.became_wrong[:LISTED])
    ways = {**dict.fromkeys(found.became_right, "wrong → right")}
    ways |= dict.fromkeys(found.became_wrong, "right → wrong")
    return {key: ways[key] for key in chain.from_iterable(pairs) if key is not None}


def _changed(compared: Comparisons | None, benchmark: str) -> list[str]:
    """The questions that changed most in any comparison on a benchmark, of each comparison one in turn."""
    differences = compared.differences if compared is not None else ()
    found = [one.flips[:FLIPS] for one in differences if one.benchmark == benchmark]
    return [flip.id for flip in chain.from_iterable(zip_longest(*found)) if flip is not None][:CHANGED]


def _chosen(ordered: Sequence[str], first: Sequence[str]) -> list[str]:
    """The questions that come first, then others from the hardest to the easiest."""
    first = list(dict.fromkeys(first))[:QUESTIONS]
    others = [key for key in ordered if key not in first]
    return [*first, *samples.spread(others, QUESTIONS - len(first))]


def _anchor(benchmark: str, question: str, given: set[str]) -> str:
    """An id of its own: two questions may differ only by what cannot stand in one."""
    plain = name = f"q-{slug(benchmark)}-{slug(question)[:60]}"
    number = 1
    while name in given:
        number += 1
        name = f"{plain}--{number}"
    given.add(name)
    return name


def _written(shown: Sequence[Evaluation]) -> dict[str, Question]:
    """The questions as an evaluation wrote them down."""
    return next((found for each in shown if (found := read_asked(each.folder))), {})


def _by_difficulty(shown: Sequence[Evaluation]) -> list[str]:
    """Question ids, hardest first."""
    rates: dict[str, list[float]] = {}
    for evaluation in shown:
        for key, question in evaluation.questions.items():
            rates.setdefault(key, []).append(question.rate)
    return sorted(rates, key=lambda key: (sum(rates[key]) / len(rates[key]), key))


def _view(
    benchmark: str, question: str, anchor: str, asked: Question | None, shown: Sequence[Evaluation]
) -> QuestionView:
    models = []
    tests = ""
    quoted = _quoted(shown)
    for number, evaluation in enumerate(shown):
        stats = evaluation.questions.get(question)
        if stats is None:
            continue
        found = evaluation.samples if evaluation.model in quoted else None
        kept = samples.first_samples(found, question, asked) if found else []
        tests = next((sample.tests for sample in kept if sample.tests), tests)
        models.append(
            ModelView(
                model=evaluation.model,
                group=evaluation.group,
                anchor=f"{anchor}-m{number}",
                correct=stats.correct,
                samples=stats.n,
                votes=_largest(stats.votes),
                abstained=stats.abstained,
                shown=tuple(kept),
                prompt=next((sample.prompt for sample in kept if sample.prompt_known), ""),
            )
        )
    rates = [model.correct / model.samples for model in models]
    return QuestionView(
        benchmark=benchmark,
        id=printable(question),
        anchor=anchor,
        rate=sum(rates) / len(rates),
        disagree=any(rate > 0.5 for rate in rates) and any(rate <= 0.5 for rate in rates),
        turn="",
        text=shorten(printable(asked.text), 2000) if asked else "",
        gold=shorten(printable(asked.gold), 200) if asked else "",
        tests=tests,
        prompts=_prompts(models),
        models=tuple(models),
        printed=False,
    )


def _quoted(shown: Sequence[Evaluation]) -> set[str]:
    """The models whose responses are shown: all but of a crowd."""
    if len(shown) <= CROWD:
        return {evaluation.model for evaluation in shown}
    first: dict[str, str] = {}
    for evaluation in shown:
        first.setdefault(evaluation.group, evaluation.model)
    return set(list(first.values())[:CROWD])


def _prompts(models: Sequence[ModelView]) -> tuple[tuple[str, str], ...]:
    """Each different prompt with the models that got it; "" where all got the same."""
    found: dict[str, list[str]] = {}
    for model in models:
        if model.prompt:
            found.setdefault(model.prompt, []).append(model.model)
    alone = len(found) == 1
    return tuple(("" if alone else ", ".join(names), prompt) for prompt, names in found.items())


def _largest(votes: Sequence[Vote]) -> tuple[Vote, ...]:
    """The classes with the most votes, fit to be shown; of equals the right one first."""
    ordered = sorted(votes, key=lambda vote: (-vote.count, not vote.correct, vote.answer))[:CLASSES]
    return tuple(replace(vote, answer=shorten(printable(vote.answer), 40)) for vote in ordered)
