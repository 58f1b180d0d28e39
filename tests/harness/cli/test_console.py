"""What reaches the terminal: figures as the page has them, and nothing that steers it."""

from __future__ import annotations

import math

import pytest

from evals.base.progress import Progress
from evals.comparison.compare import Arm, compare_arms
from evals.comparison.ranking import ranks
from evals.scores import Scores
from evals.stats.metrics import QuestionStats
from harness.cli import console

HOSTILE = "m\x1b[2J\x1b]0;owned\x07\r\x9b31m\u202e[bold red]x"


def scores(rate: float, name: str = "aime", model: str = "") -> Scores:
    questions = tuple(QuestionStats(f"q{i}", 8, round(8 * rate)) for i in range(20))
    return Scores(name, questions, "none needed", votes=False, model=model, warnings=(f"{HOSTILE} told",))


def steers(text: str) -> bool:
    return any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or c == "\u202e" for c in text)


def test_names_from_files_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.scores_table([scores(0.5, f"b{HOSTILE}", HOSTILE)])
    one, other = (
        Arm(f"{name}{HOSTILE}", ({"aime": scores(rate)},)) for name, rate in (("a", 0.2), ("b", 0.9))
    )
    console.comparison_table(compare_arms([one, other]))
    console.differences_table(compare_arms([one, other]))
    with Progress().step(HOSTILE, 1) as update:
        update(1, HOSTILE)
    Progress().say(HOSTILE)
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert not steers(text)
        assert "⟦U+001B⟧" in text
    assert "[bold red]" in said.out.replace("\n", "")  # shown, not obeyed


def test_the_first_of_a_pair_is_the_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    arms = [Arm(name, ({"aime": scores(rate)},)) for name, rate in (("base", 0.25), ("winner", 0.75))]
    console.comparison_table(compare_arms(arms))
    said = capsys.readouterr().out
    assert "a = base, b = winner (a is the baseline)" in said
    assert "b − a [95%]" in said
    assert "+50.0 [" in said
    assert "winner is better than base" in said
    console.differences_table(compare_arms(arms))
    assert "winner − base" in capsys.readouterr().out


def test_a_difference_of_nothing_has_no_sign(capsys: pytest.CaptureFixture[str]) -> None:
    console.comparison_table(compare_arms([Arm(name, ({"aime": scores(0.5)},)) for name in "ab"]))
    said = capsys.readouterr().out
    assert "-0.0" not in said
    assert "+0.0" not in said


@pytest.mark.parametrize("value", [math.inf, math.nan, None])
def test_a_figure_that_is_not_finite_is_a_dash(value: float | None) -> None:
    assert console.figures_of({"perplexity,none": value, "acc,none": 0.5, "acc_stderr,none": value}) == [
        ("perplexity", "–", "–"),
        ("acc", "0.5000", "–"),
    ]


def test_models_of_one_last_name_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    console.scores_table([scores(0.5, model="a/m"), scores(0.6, model="b/m")])
    said = capsys.readouterr()
    assert "a/m" in said.out
    assert "b/m" in said.out
    assert "aime, b/m:" in said.err


def test_programs_that_ran_out_of_time_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    def of(late: int) -> Scores:
        return Scores("mbpp", (QuestionStats("q", 8, 4, timeouts=late),), "none needed", votes=False)

    console.scores_table([of(3)])
    assert "mbpp: 3 of 8 programs ran past their time limit" in " ".join(capsys.readouterr().out.split())
    console.scores_table([of(0)])
    assert "time limit" not in capsys.readouterr().out


def test_a_crowd_is_ranked_and_compared_with_the_baseline_alone(capsys: pytest.CaptureFixture[str]) -> None:
    rates = [0.25, 0.25, 0.5, 0.5, 0.5, 1.0, 1.0]
    arms = [Arm(f"model-{i}", ({"aime": scores(rate)},)) for i, rate in enumerate(rates)]
    console.crowd_table(compare_arms(arms), ranks(arms))
    said = capsys.readouterr().out
    lines = [line.split() for line in said.splitlines()]
    ranked = [words for words in lines if len(words) > 2 and words[1].startswith("model-")]
    assert [(words[0], words[1], words[-1]) for words in ranked] == [
        ("1–2", "model-5", "1"),
        ("1–2", "model-6", "1"),
        *((("3–5"), f"model-{i}", "2") for i in (2, 3, 4)),
        *((("6–7"), f"model-{i}", "3") for i in (0, 1)),
    ]
    assert [words[0] for words in lines if words and words[0].startswith("model-")] == [
        f"model-{i}" for i in range(1, 7)
    ]
    assert "15 other pairs: --all prints every pair, --json has them." in said


def test_ranks_are_of_the_benchmarks_that_all_have() -> None:
    both = Arm("a", ({"aime": scores(0.5), "math": scores(0.5, "math")},))
    assert list(ranks([both, Arm("b", ({"aime": scores(0.5)},))])) == ["aime"]
