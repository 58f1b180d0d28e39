"""Which questions a curriculum draws, when, how often, and that a resumed run draws the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evals.base import io
from evals.base.errors import UsageError
from evals.scores import Scores
from evals.stats.metrics import QuestionStats
from evals.task import Question, Task
from harness import config
from harness.config import GRPO, Data, Experiment, validate
from harness.engines.hf import TransformersEngine
from harness.models.policy import Policy
from harness.train import checkpoint
from harness.train.curriculum import CurriculumStream, sources_of, stream_of
from harness.train.learners import train_stage
from harness.train.loop import StageRun
from harness.train.questions import Asked
from harness.train.run_dir import Run
from harness.train.stream import Prompts, Stream


def questions(name: str, count: int) -> tuple[Task, list[Question]]:
    own = [Question(f"{name}-{n}", f"{n}?", "1") for n in range(count)]
    return Task(name, name, "integer", ("train",), "train", lambda split: own, "made here"), own


EASY, HARD = questions("easy", 40), questions("hard", 20)
ASKED = Asked([EASY, HARD])
PROMPTS = Prompts(ASKED, "plain", SimpleNamespace(tokenizer=None))  # type: ignore[arg-type]


def evaluated(folder: Path, rates: dict[str, list[float]]) -> str:
    """Evaluations of ten samples a question, as `harness eval` writes them."""
    for name, own in rates.items():
        stats = tuple(
            QuestionStats(f"{name}-{n}", n=10, correct=round(10 * rate)) for n, rate in enumerate(own)
        )
        Scores(benchmark=f"{name}:train[:{len(own)}]", questions=stats, isolation="", votes=False).write(
            folder / name
        )
    return str(folder)


@pytest.fixture
def rates(tmp_path: Path) -> str:
    """Easy questions at 0, 0.1, …, 0.9, 0, …; hard ones at 0 and 0.2 in turn."""
    easy, hard = [n % 10 / 10 for n in range(40)], [n % 2 / 5 for n in range(20)]
    return evaluated(tmp_path, {"easy": easy, "hard": hard})


def data(**curriculum: Any) -> Data:
    return Data.model_validate({"train": ["easy:train", "hard:train"], "curriculum": curriculum})


def stream(of: Data, seed: int = 1, steps: int = 100, a_step: int = 4) -> CurriculumStream:
    found = stream_of(of, PROMPTS, seed, steps, a_step)
    assert isinstance(found, CurriculumStream)
    return found


def drawn(of: CurriculumStream, count: int) -> list[int]:
    return [prompt.place for prompt in of.take(count)]


def test_without_a_curriculum_nothing_changes() -> None:
    plain = stream_of(Data(train=["easy:train", "hard:train"]), PROMPTS, 3, 10, 4)
    assert type(plain) is Stream
    assert [p.place for p in plain.take(70)] == [p.place for p in Stream(PROMPTS, 3).take(70)]


def test_an_epoch_has_every_question_of_the_band_once(rates: str) -> None:
    found = drawn(stream(data(rates=rates, band=[0.2, 0.8])), 28 + 10)
    easy = [place for place in range(40) if 2 <= place % 10 <= 8]
    hard = [place for place in range(40, 60) if (place - 40) % 2]
    assert Counter(found) == Counter(easy + hard)
    assert found != sorted(found)


def test_weights_are_shares_of_what_is_drawn(rates: str) -> None:
    found = drawn(stream(data(weights={"easy:train": 1.0, "hard:train": 3.0})), 400)
    assert sum(place < 40 for place in found) == 100
    for first in range(0, 400, 20):  # and of every stretch of it
        assert sum(place < 40 for place in found[first : first + 20]) == 5


def test_easy_ones_come_first_and_all_from_half_of_the_stage_on(rates: str) -> None:
    of = data(rates=rates, order="easy_first", weights={"easy:train": 1000.0})
    found = drawn(stream(of, steps=400, a_step=4), 1600)
    solved = np.array([place % 10 / 10 for place in found])
    assert set(solved[:8]) <= {0.8, 0.9}
    means = [solved[start : start + 100].mean() for start in (0, 300, 600)]
    assert means[0] > means[1] > means[2]
    assert {round(10 * each) for each in solved[800:]} == set(range(10))
    assert solved[800:].mean() == pytest.approx(0.45, abs=0.04)


def test_what_is_parked_waits_and_comes_again() -> None:
    one = stream(data(park_steps=3), a_step=4)
    first = drawn(one, 4)
    one.park(first)
    waiting = drawn(one, 12 - 4)
    assert not set(first) & set(waiting)
    assert set(first) <= set(drawn(one, 120))


def test_where_all_are_parked_some_are_drawn_all_the_same() -> None:
    one = stream(data(park_steps=50), a_step=4)
    one.park(range(60))
    assert len(drawn(one, 4)) == 4


@pytest.mark.parametrize("order", ["shuffled", "easy_first"])
def test_position_and_what_is_parked_are_all_that_a_resumed_run_needs(rates: str, order: str) -> None:
    of = data(rates=rates, order=order, park_steps=2, weights={"hard:train": 2.0})
    whole, before = stream(of), stream(of)
    for one in (whole, before):
        one.park(drawn(one, 10)[:5])
    after = stream(of)
    after.position, after.parked = before.position, json_like(before.parked)
    assert drawn(whole, 50) == drawn(after, 50)


def json_like(parked: dict[int, int]) -> dict[int, int]:
    return {int(place): until for place, until in json.loads(json.dumps(parked)).items()}


def test_a_question_without_a_rate_is_refused(tmp_path: Path) -> None:
    folder = evaluated(tmp_path, {"easy": [0.5] * 39, "hard": [0.5] * 20})
    with pytest.raises(UsageError, match=r"no pass rate of 1 questions of easy:train .*'easy-39'"):
        sources_of(data(rates=folder), ASKED)


def test_a_band_that_keeps_nothing_is_refused(rates: str) -> None:
    with pytest.raises(UsageError, match=r"none of the 20 questions of hard:train has a pass rate from 0\.3"):
        sources_of(data(rates=rates, band=[0.3, 0.9]), ASKED)


@pytest.mark.parametrize(
    ("curriculum", "said"),
    [
        ({"band": [0.1, 0.9]}, "band needs rates"),
        ({"order": "easy_first"}, "needs rates"),
        ({"rates": "x", "band": [0.9, 0.1]}, "must be below"),
        ({"weights": {"gsm8k": 2.0}}, "'gsm8k' is not in train"),
        ({"weights": {"tiny-math:train": 0.0}}, "greater than 0"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(curriculum: dict[str, Any], said: str) -> None:
    raw = {
        "name": "x",
        "policy": {"model": "tiny"},
        "data": {"train": ["tiny-math:train"], "curriculum": curriculum},
        "stages": [{"kind": "grpo"}],
    }
    with pytest.raises(UsageError, match=said):
        validate(raw, where="x.toml")


def test_parking_and_sampling_ahead_exclude_each_other() -> None:
    raw = {
        "name": "x",
        "policy": {"model": "tiny"},
        "data": {"train": ["tiny-math:train"], "curriculum": {"park_steps": 2}},
        "stages": [{"kind": "grpo", "rollout_ahead": 1, "sampler_correction": 2.0}],
    }
    with pytest.raises(UsageError, match=r"park_steps: with grpo\.rollout_ahead"):
        validate(raw, where="x.toml")
    raw["stages"] = [{"kind": "sft", "data": "x.jsonl"}]
    with pytest.raises(UsageError, match="no stage draws prompts"):
        validate(raw, where="x.toml")


def test_a_run_that_resumes_between_two_steps_parks_as_one_that_did_not_stop(
    make_random_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    """Random weights are always wrong, so every question is parked as soon as it was asked."""
    of = GRPO(steps=4, completions_per_step=8, group_size=4, max_tokens=4, checkpoint_every=1)

    def train(name: str, stops: Sequence[str | None] = ()) -> Path:
        reasons = iter([*stops, *[None] * 9])
        experiment = Experiment(
            name="test",
            policy=config.Policy(model="tiny", template="tags"),
            data=data(park_steps=20),
            stages=[of],
        )
        policy = make_random_policy()
        run = Run(tmp_path / name, experiment)
        try:
            given = StageRun(
                run, policy, TransformersEngine(policy), ASKED, should_stop=lambda: next(reasons)
            )
            train_stage(of, given)
        finally:
            run.close()
        return run.folder

    whole, parts = train("whole"), train("parts", [None, None, "away"])
    train("parts")
    asked = [
        [row["id"] for row in io.read_lines(folder / "samples.jsonl") if row["step"] == 4]
        for folder in (whole, parts)
    ]
    assert asked[0] == asked[1] != []
    states = [
        checkpoint.read(newest, make_random_policy().model)["parked"] for newest in _newest(whole, parts)
    ]
    assert states[0] == states[1]
    assert len(states[0]) == 8


def _newest(*folders: Path) -> list[Path]:
    return [found for folder in folders if (found := checkpoint.newest(folder / "checkpoints")) is not None]
