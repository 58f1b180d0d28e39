"""The luck of the best of N, the interval of the confirmed gain, and when there is no winner."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import pytest
from scipy import stats

from harness.config import validate
from harness.sweep.evaluation import Evaluation
from harness.sweep.selection import (
    Candidate,
    Confirmation,
    confirmation_experiment,
    expected_luck,
    improvement,
    verdict,
)
from harness.sweep.summary import Figure, Trial


def confirmation(
    value: float, stderr: float = 0.0, base: float | None = None, place: int = 1
) -> Confirmation:
    first = None if base is None else Evaluation(0, base, stderr)
    return Confirmation(
        1000 + place, f"confirm/trial-3/seed-{place}/attempt-1", Evaluation(10, value, stderr), first
    )


@pytest.mark.parametrize(
    ("trials", "constant"),
    [(1, 0.0), (2, 1 / math.sqrt(math.pi)), (3, 1.5 / math.sqrt(math.pi)), (10, 1.53875), (50, 2.24907)],
)
def test_luck_is_the_expected_maximum_of_normals(trials: int, constant: float) -> None:
    assert expected_luck(trials, 0.02) == pytest.approx(0.02 * constant, abs=1e-6)


def test_luck_agrees_with_simulation() -> None:
    draws = np.random.default_rng(0).normal(0, 0.05, size=(200_000, 24)).max(axis=1)
    assert expected_luck(24, 0.05) == pytest.approx(draws.mean(), abs=4 * draws.std() / math.sqrt(len(draws)))


def test_with_exact_evaluations_the_interval_is_students() -> None:
    values = [0.61, 0.66, 0.58, 0.7]
    gain = improvement([confirmation(v) for v in values], Evaluation(0, 0.5, 0.0), maximize=True)
    expected = stats.ttest_1samp(np.array(values) - 0.5, 0.0).confidence_interval(0.95)
    assert gain.ci95 == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_with_one_seed_the_interval_is_that_of_the_two_evaluations() -> None:
    gain = improvement([confirmation(0.6, 0.03)], Evaluation(0, 0.5, 0.04), maximize=True)
    assert gain.stderr == pytest.approx(0.05)
    assert gain.ci95 == pytest.approx((0.1 - 1.959964 * 0.05, 0.1 + 1.959964 * 0.05), abs=1e-6)


def test_less_is_better_when_minimizing() -> None:
    gain = improvement([confirmation(0.2, 0.01)], Evaluation(0, 0.5, 0.01), maximize=False)
    assert gain.value == pytest.approx(0.3)
    assert gain.excludes_zero


@pytest.mark.parametrize(("seeds", "between"), [(2, 0.0), (2, 0.03), (3, 0.03), (5, 0.06)])
def test_the_interval_covers_the_true_gain(seeds: int, between: float) -> None:
    """Seeds and base share their dev questions, as in a sweep: the interval may be wide, not narrow."""
    generator = np.random.default_rng(seeds)
    questions, samples = 0.03, 0.015
    covered = 0
    rounds = 2000
    for _ in range(rounds):
        shared = generator.normal(0, questions)
        stderr = math.hypot(questions, samples)

        def measure(truth: float, shared: float = shared) -> float:
            return truth + shared + float(generator.normal(0, samples))

        finals = [measure(0.6 + generator.normal(0, between)) for _ in range(seeds)]
        base = Evaluation(0, measure(0.5), stderr)
        low, high = improvement([confirmation(v, stderr) for v in finals], base, maximize=True).ci95
        covered += low <= 0.1 <= high
    assert covered / rounds >= 0.94


T = TypeVar("T")


def there(value: T | None) -> T:
    assert value is not None
    return value


TRIAL = Trial(
    number=3,
    params={"grpo.beta": 0.1},
    history=(Evaluation(0, 0.2, 0.02), Evaluation(10, 0.7, 0.02)),
)


def test_a_winner_must_confirm_itself() -> None:
    fresh = [confirmation(0.65, 0.02, base=0.21, place=1), confirmation(0.67, 0.02, base=0.19, place=2)]
    chosen = verdict([Candidate(TRIAL, fresh)], wanted=2, complete=10, maximize=True, objective="dev/pass@1")
    assert chosen.winner is not None
    assert chosen.winner.base is not None
    assert chosen.winner.selection == Figure(value=0.7, stderr=0.02)
    assert chosen.winner.base.value == pytest.approx(0.2)
    assert [c.value for c in chosen.winner.confirmation] == [0.65, 0.67]
    assert chosen.selection.expected_luck == pytest.approx(0.02 * 1.53875, abs=1e-5)
    assert there(chosen.selection.improvement).value == pytest.approx(0.46)
    told = "Trial 3 wins: on 2 fresh seeds, +46.0 points over the base policy, 95% interval [+"
    assert chosen.selection.verdict.startswith(told)
    counted = verdict([Candidate(TRIAL, fresh)], wanted=2, complete=10, maximize=True, objective="reward")
    assert ", +0.46 over the base policy, 95% interval [+0." in counted.selection.verdict


@pytest.mark.parametrize(
    ("fresh", "wanted", "words"),
    [
        (
            [confirmation(0.22, 0.02, base=0.2), confirmation(0.24, 0.02, base=0.2)],
            2,
            "does not exclude zero",
        ),
        ([], 2, "none of the 2 fresh trainings"),
    ],
)
def test_no_winner_when_the_fresh_runs_say_so(fresh: list[Confirmation], wanted: int, words: str) -> None:
    chosen = verdict(
        [Candidate(TRIAL, fresh)], wanted=wanted, complete=10, maximize=True, objective="dev/pass@1"
    )
    assert chosen.winner is None
    assert there(chosen.selection.candidate).trial == 3
    assert words in chosen.selection.verdict


def test_an_unconfirmed_winner_is_called_so() -> None:
    chosen = verdict([Candidate(TRIAL, [])], wanted=0, complete=1, maximize=True, objective="dev/pass@1")
    assert there(chosen.winner).trial == 3
    assert "not confirmed" in chosen.selection.verdict
    assert verdict([], wanted=2, complete=0, maximize=True, objective="dev/pass@1").winner is None


def test_of_several_the_best_on_fresh_seeds_is_judged_by_a_wider_interval() -> None:
    lucky = Candidate(TRIAL, [confirmation(0.3, 0.02, base=0.2), confirmation(0.32, 0.02, base=0.2)])
    other = TRIAL.model_copy(update={"number": 5, "history": (TRIAL.history[0], Evaluation(10, 0.6, 0.02))})
    steady = Candidate(other, [confirmation(0.6, 0.02, base=0.2), confirmation(0.61, 0.02, base=0.2)])
    chosen = verdict([lucky, steady], wanted=2, complete=10, maximize=True, objective="dev/pass@1")
    assert there(chosen.winner).trial == 5
    assert [each.trial for each in chosen.selection.others] == [3]
    assert "best of 2" in chosen.selection.verdict
    alone = verdict(
        [steady], wanted=2, complete=10, maximize=True, objective="dev/pass@1"
    ).selection.improvement
    both = chosen.selection.improvement
    assert alone is not None
    assert both is not None
    assert both.value == alone.value
    assert both.ci95[0] < alone.ci95[0] < alone.ci95[1] < both.ci95[1]
    failed = verdict(
        [Candidate(TRIAL, []), steady], wanted=2, complete=10, maximize=True, objective="dev/pass@1"
    )
    assert there(failed.winner).trial == 5


GRPO_STAGE = {"kind": "grpo", "steps": 20, "completions_per_step": 8, "group_size": 4}
COLD = {"kind": "sft", "name": "cold", "data": "tiny-traces", "steps": 5}
LATE = {"kind": "sft", "name": "late", "data": "tiny-traces", "steps": 7}
MEASURED = {"kind": "evaluate", "benchmarks": ["tiny-aime"]}


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([GRPO_STAGE], [40]),
        ([GRPO_STAGE, MEASURED], [40, 0]),
        ([COLD, GRPO_STAGE, LATE], [5, 40, 7]),
        ([COLD, LATE], [5, 40]),
    ],
)
def test_confirmed_runs_have_their_steps_in_the_last_stage_of_grpo(
    stages: list[dict[str, Any]], expected: list[int]
) -> None:
    raw = {
        "name": "x", "policy": {"model": "tiny"}, "data": {"train": "tiny-aime:train"},
        "stages": stages, "sweep": {"confirm_steps": 40, "space": {}},
    }  # fmt: skip
    experiment = validate(raw, "test")
    fresh = confirmation_experiment(experiment, experiment, 1)
    assert [stage.steps for stage in fresh.stages] == expected
