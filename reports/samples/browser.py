"""Which samples the page shows, by a stated rule, so that it stays small however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evals.asked import known_questions, read_asked
from evals.base.text import printable
from evals.stats.metrics import Vote
from evals.task import Question
from reports.samples import records as samples
from reports.samples.records import ShownSample
from reports.study import Evaluation, Study

BUDGET = 4_000_000
"""Characters of responses on a page."""
QUESTIONS = 12
"""Questions shown of a benchmark."""
CLASSES = 6
"""Vote classes shown of a question."""

RULE = (
    f"Up to {QUESTIONS} questions of each benchmark, spread evenly from the hardest to the easiest; of each "
    "question and model the first sample of each verdict; of a response longer than "
    f"{samples.LONGEST:,} characters its first two thirds and its last third of that; "
    f"at most {BUDGET // 1_000_000} million characters in all. Everything is in samples.jsonl."
)


@dataclass(frozen=True)
class ModelView:
    """What one model did with one question."""

    model: str
    correct: int
    samples: int
    votes: tuple[Vote, ...]
    abstained: int
    shown: tuple[ShownSample, ...]


@dataclass(frozen=True)
class QuestionView:
    """One question across models; ``disagree``: most samples are right for one model and not for another."""

    benchmark: str
    id: str
    rate: float
    disagree: bool
    text: str
    gold: str
    models: tuple[ModelView, ...]


def browse(study: Study) -> list[QuestionView]:
    """The questions and samples to show, within the budget."""
    views: list[QuestionView] = []
    left = BUDGET
    for benchmark in study.benchmarks():
        shown = [e for e in study.evaluations if e.benchmark == benchmark and e.questions]
        asked = known_questions(benchmark) or _written(shown)
        for question in samples.spread(_by_difficulty(shown), QUESTIONS):
            view = _view(benchmark, question, asked.get(question), shown)
            left -= sum(len(s.reasoning) + len(s.reply) for model in view.models for s in model.shown)
            if left < 0:
                return views
            views.append(view)
    return views


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


def _view(benchmark: str, question: str, asked: Question | None, shown: Sequence[Evaluation]) -> QuestionView:
    models = []
    for evaluation in shown:
        stats = evaluation.questions.get(question)
        if stats is None:
            continue
        models.append(
            ModelView(
                model=evaluation.model,
                correct=stats.correct,
                samples=stats.n,
                votes=_largest(stats.votes),
                abstained=stats.abstained,
                shown=tuple(
                    samples.first_samples(evaluation.samples, question) if evaluation.samples else ()
                ),
            )
        )
    rates = [model.correct / model.samples for model in models]
    return QuestionView(
        benchmark=benchmark,
        id=printable(question),
        rate=sum(rates) / len(rates),
        disagree=any(rate > 0.5 for rate in rates) and any(rate <= 0.5 for rate in rates),
        text=samples.shorten(printable(asked.text), 2000) if asked else "",
        gold=samples.shorten(printable(asked.gold), 200) if asked else "",
        models=tuple(models),
    )


def _largest(votes: Sequence[Vote]) -> tuple[Vote, ...]:
    """The classes with the most votes, fit to be shown; of equals the right one first."""
    ordered = sorted(votes, key=lambda vote: (-vote.count, not vote.correct, vote.answer))[:CLASSES]
    return tuple(replace(vote, answer=samples.shorten(printable(vote.answer), 40)) for vote in ordered)
