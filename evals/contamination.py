"""Has a model seen a benchmark? It completes questions that it was given the beginning of, and answers blind.

``continued`` makes of a task one whose questions are the first part of the task's questions, the rest being
the right answer ("Reasoning or Memorization?", arXiv 2507.10532). ``answer_only`` asks the task's own
questions for the bare answer: what is right without reasoning may be remembered, or easy. Neither says much
alone: both are to be read beside the same of a task that the model cannot have seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evals.graders.continuation import units
from evals.records import read_samples
from evals.stats import intervals
from evals.stats.intervals import Estimate
from evals.task import Question, Task, TaskError

SHOWN = 0.6
"""The part of a question that the model is given."""
LEAST = 20
"""Characters that a question must have."""
HIGH = 0.05
"""The share of questions completed word for word above which it is not chance: the interval lies above it."""
CONTINUED, ANSWER_ONLY = "continued", "answer-only"
SHORT_ANSWERS = ("math", "integer", "choice", "exact")
"""Graders of questions whose answers can be given without reasoning."""


def continued(task: Task) -> Task:
    """The task of completing the questions of ``task``; those that are too short are left out.

    Its questions cannot be loaded (``TaskError``) where all are.
    """

    def load(split: str) -> Sequence[Question]:
        found = [cut for question in task.questions(split) if (cut := _cut(question)) is not None]
        if not found:
            raise TaskError(f"{task.name}: no question is long enough to be completed")
        return found

    return Task(
        name=f"{task.name}-{CONTINUED}",
        title=f"{task.title}: the last part of each question",
        grader="continuation",
        splits=(task.benchmark,),
        benchmark=task.benchmark,
        load=load,
        source=task.source,
        part=task.part,
    )


def answer_only(task: Task) -> Task | None:
    """The same questions under a name of their own; None where the answer is a program or a free text."""
    if task.grader not in SHORT_ANSWERS:
        return None
    return Task(
        name=f"{task.name}-{ANSWER_ONLY}",
        title=f"{task.title}: the bare answer",
        grader=task.grader,
        splits=(task.benchmark,),
        benchmark=task.benchmark,
        load=task.load,
        source=task.source,
        part=task.part,
    )


def _cut(question: Question) -> Question | None:
    parts = units(question.text.strip())
    place = math.ceil(SHOWN * len(parts))
    head, tail = "".join(parts[:place]).strip(), "".join(parts[place:]).strip()
    if len(question.text) < LEAST or not tail:
        return None
    return Question(question.id, head, tail)


def rouge_l(said: str, gold: str) -> float:
    """ROUGE-L (Lin 2004): F1 of the longest common subsequence of words, in [0, 1]; letters and digits count.

    As Google's rouge-score computes it, without a stemmer; words of any script are words.
    """
    mine, theirs = _words(said), _words(gold)
    common = _common(mine, theirs)
    return 2 * common / (len(mine) + len(theirs)) if common else 0.0


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence, in len(a) * len(b) steps."""
    row = [0] * (len(b) + 1)
    for word in a:
        before = 0  # the row above, one to the left
        for place, other in enumerate(b, start=1):
            above = row[place]
            row[place] = before + 1 if word == other else max(above, row[place - 1])
            before = above
    return row[-1]


@dataclass(frozen=True)
class Probed:
    """What a task came to. Shares of 1 with 95% intervals over questions.

    ``exact``: completed word for word; ``rouge``: mean ROUGE-L; ``blind``: right without reasoning, None
    where that cannot be asked. ``model`` is the digest by which an evaluation of the same weights is known.
    """

    task: str
    model: str
    questions: int
    exact: Estimate
    rouge: Estimate
    blind: Estimate | None

    def to_json(self) -> dict[str, Any]:
        """As probe.json holds it."""

        def told(found: Estimate | None) -> dict[str, Any] | None:
            return None if found is None else {"value": found.value, "ci95": list(found.ci95)}

        rest = {"exact": told(self.exact), "rouge_l": told(self.rouge), "answer_only": told(self.blind)}
        return {"task": self.task, "model": self.model, "questions": self.questions, **rest}


def completion_figures(folder: Path, questions: Sequence[Question]) -> tuple[Estimate, Estimate]:
    """The exact matches and ROUGE-L in the folder of a task that ``continued`` made of these questions.

    Raises:
        TaskError: samples.jsonl is missing or damaged.
    """
    golds = {question.id: question.gold for question in questions}
    exact, rouge = [], []
    for sample in read_samples(folder / "samples.jsonl"):
        exact.append(float(sample.status == "correct"))
        rouge.append(rouge_l(sample.answer or "", golds[sample.id]))
    return intervals.mean_estimate(np.array(exact)), intervals.mean_estimate(np.array(rouge))


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b of two independent sets of questions, by the method of variance estimates recovery.

    Zou and Donner 2008, Statistics in Medicine 27: of Wilson's intervals it makes Newcombe's.
    """
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, math.hypot(a.stderr, b.stderr), low, high)


def suspicious(found: Probed, against: Probed | None) -> bool:
    """Whether a model knows a task's questions: more of them word for word than chance, and than ``against``.

    ``against``: the same of a task that it cannot have seen.
    """
    more = against is None or difference(found.exact, against.exact).low > 0
    return found.exact.low > HIGH and more


def sentence(found: Probed, against: Probed | None) -> str:
    """What was found, in words."""
    told = (
        f"{found.task}: {_percent(found.exact)} of {found.questions} questions are completed word for word, "
        f"ROUGE-L {_percent(found.rouge)}"
    )
    if found.blind is not None:
        told += f", {_percent(found.blind)} are answered rightly without reasoning"
    if against is not None:
        told += f"; of {against.task} {_percent(against.exact)} and {_percent(against.rouge)}"
    if suspicious(found, against):
        return (
            f"{told}. The model has most likely seen these questions: its score is no measure of reasoning."
        )
    return f"{told}. That does not show that the model has seen them."


def _percent(found: Estimate) -> str:
    return f"{100 * found.value:.1f}% [{100 * found.low:.1f}, {100 * found.high:.1f}]"
