"""Training questions by difficulty and source: which are drawn, in which order, and which wait.

How difficult a question is, is the pass rate that an evaluation of a policy found: measured once, kept where
that evaluation lies, and had from any engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from evals.base.errors import UsageError
from evals.comparison.evaluations import read_evaluations
from evals.task import TaskError
from evals.tasks import specs
from harness.config import Data
from harness.config.curriculum import Curriculum
from harness.train.questions import Asked
from harness.train.stream import Prompt, Prompts, Stream

FIRST = 0.1
"""The part of the questions, the easiest, that "easy_first" begins with."""
WHOLE = 0.5
"""The part of the stage after which it draws from all of them."""


class Source:
    """The places of an entry's questions among all, with their pass rates, and how often it is drawn."""

    def __init__(self, rates: Mapping[int, float], weight: float) -> None:
        self.rates, self.weight = rates, weight
        self.places = list(rates)
        self._shuffled: tuple[tuple[int, ...], Sequence[int]] = ((), ())
        self._sorted: tuple[tuple[int, ...], Sequence[int]] = ((), ())

    def shuffled(self, seed: tuple[int, ...], draw: int) -> int:
        """The place of this source's ``draw``-th draw: each question once an epoch."""
        epoch, turn = divmod(draw, len(self.places))
        key = (*seed, epoch)
        if self._shuffled[0] != key:
            self._shuffled = key, np.random.default_rng(key).permutation(self.places).tolist()
        return self._shuffled[1][turn]

    def easiest(self, seed: tuple[int, ...], draw: int, share: float) -> int:
        """A place among the easiest ``share`` of them; which of equal rates are easier is the seed's."""
        if self._sorted[0] != seed:
            luck = np.random.default_rng(seed).permutation(self.places).tolist()
            self._sorted = seed, sorted(luck, key=lambda place: -self.rates[place])
        among = max(1, math.ceil(share * len(self.places)))
        return self._sorted[1][int(np.random.default_rng((*seed, draw)).integers(among))]


def pass_rates(folder: str) -> dict[tuple[str, str], float]:
    """Pass rates in [0, 1] by the name of the task, without split and part, and the question's id.

    Raises:
        UsageError: the folder holds no evaluation.
    """
    try:
        measured = read_evaluations(Path(folder))
    except TaskError as error:
        raise UsageError(f"data.curriculum.rates: {error}") from None
    return {
        (specs.parse(benchmark).source, question.id): question.correct / question.n
        for benchmark, scores in measured.items()
        for question in scores.questions
    }


def stream_of(data: Data, prompts: Prompts, seed: int, steps: int, a_step: int) -> Stream[Prompt]:
    """What a stage draws its prompts from; ``steps`` of the stage ask ``a_step`` prompts each."""
    if data.curriculum is None:
        return Stream(prompts, seed)
    assert isinstance(prompts.questions, Asked)
    sources = sources_of(data, prompts.questions)
    return CurriculumStream(prompts, seed, sources, data.curriculum, steps, a_step)


def sources_of(data: Data, asked: Asked) -> list[Source]:
    """The questions of each entry of ``data.train`` that the curriculum keeps.

    Raises:
        UsageError: a question has no pass rate, or the band keeps none of an entry.
    """
    curriculum = data.curriculum or Curriculum()
    rates = pass_rates(curriculum.rates) if curriculum.rates else None
    found, first = [], 0
    for spec, (task, questions) in zip(data.train, asked.sets, strict=True):
        places = range(first, first + len(questions))
        first += len(questions)
        kept = dict.fromkeys(places, 1.0)
        if rates is not None:
            own = [(specs.parse(task.name).source, question.id) for question in questions]
            missing = [name for _, name in (key for key in own if key not in rates)]
            if missing:
                raise UsageError(
                    f"data.curriculum.rates: {curriculum.rates} has no pass rate of {len(missing)} questions "
                    f"of {spec} (the first is {missing[0]!r}); evaluate all of them"
                )
            low, high = curriculum.band
            kept = {
                place: rates[key] for place, key in zip(places, own, strict=True) if low <= rates[key] <= high
            }
        if not kept:
            raise UsageError(
                f"data.curriculum.band: none of the {len(questions)} questions of {spec} has a pass rate "
                f"from {curriculum.band[0]:g} to {curriculum.band[1]:g}"
            )
        weight = curriculum.weights.get(spec, 1.0) if curriculum.weights else float(len(kept))
        found.append(Source(kept, weight))
    return found


class CurriculumStream(Stream[Prompt]):
    """Prompts without end, as a curriculum has them.

    Which source a draw is of follows from the weights alone: the one that is furthest behind its share
    (stride scheduling), so ``position`` tells everything but what is parked.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        seed: int,
        sources: Sequence[Source],
        curriculum: Curriculum,
        steps: int,
        a_step: int,
    ) -> None:
        """``steps``: those of the stage; ``a_step``: prompts that one of them draws."""
        super().__init__(prompts, seed)
        self._sources, self._curriculum = sources, curriculum
        self._a_step = a_step
        self._whole = max(1.0, WHOLE * steps * a_step)
        self._turns: list[tuple[int, int]] = []
        self._made = self._schedule()
        self.parked: dict[int, int] = {}
        """Place -> the position from which on it may be drawn again."""

    def park(self, places: Sequence[int]) -> None:
        """Leaves these questions alone for ``park_steps`` steps."""
        if self._curriculum.park_steps:
            until = self.position + self._curriculum.park_steps * self._a_step
            self.parked.update(dict.fromkeys(places, until))

    def _next(self) -> Prompt:
        """The next question that is not parked; where all are, the next one all the same."""
        everyone = sum(len(source.places) for source in self._sources)
        for _ in range(everyone):
            place = self._place(self.position)
            self.position += 1
            if self.parked.get(place, 0) < self.position:
                break
        return self._items[place]

    def _place(self, position: int) -> int:
        while len(self._turns) <= position:
            self._turns.append(next(self._made))
        which, draw = self._turns[position]
        source, seed = self._sources[which], (self._seed, which)
        if self._curriculum.order == "shuffled":
            return source.shuffled(seed, draw)
        progress = min(1.0, position / self._whole)
        share = math.sqrt(FIRST**2 + (1 - FIRST**2) * progress)  # Platanios et al. 2019, eq. 8
        return source.easiest(seed, draw, share)

    def _schedule(self) -> Iterator[tuple[int, int]]:
        """(source, which draw of it), for ever."""
        total = sum(source.weight for source in self._sources)
        counts = [0] * len(self._sources)
        position = 0
        while True:
            position += 1
            behind = [s.weight / total * position - n for s, n in zip(self._sources, counts, strict=True)]
            which = int(np.argmax(behind))
            yield which, counts[which]
            counts[which] += 1
