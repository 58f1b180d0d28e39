"""How questions are cut, the figures against other implementations, and what is called suspicious."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.contamination import Probed, answer_only, continued, difference, rouge_l, sentence, suspicious
from evals.stats.intervals import Estimate, mean_estimate
from evals.task import Question, Task, TaskError

KNOWN = ("the", "cat", "sat", "on", "a", "mat", "3", "apples,", "Bob's", "X-ray")
WORDS = st.lists(st.sampled_from(KNOWN), max_size=12)


@given(WORDS, WORDS)
def test_rouge_l_is_google_s(mine: list[str], theirs: list[str]) -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="lm-eval's extra brings it")
    said, gold = " ".join(mine), " ".join(theirs)
    expected = rouge_scorer.RougeScorer(["rougeL"]).score(gold, said)["rougeL"].fmeasure
    assert rouge_l(said, gold) == pytest.approx(expected)


def test_rouge_l_knows_words_of_any_script() -> None:
    assert rouge_l("сколько яблок у них", "сколько яблок у него") == pytest.approx(0.75)


@pytest.mark.parametrize(("a", "b"), [((12, 60), (3, 50)), ((0, 40), (2, 40)), ((30, 30), (20, 30))])
def test_a_difference_of_two_wilson_intervals_is_newcombe_s(a: tuple[int, int], b: tuple[int, int]) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")

    def wilson(right: int, n: int) -> Estimate:
        low, high = proportion.proportion_confint(right, n, method="wilson")
        return Estimate(right / n, 0.0, low, high)

    found = difference(wilson(*a), wilson(*b))
    low, high = proportion.confint_proportions_2indep(*a, *b, method="newcomb")
    assert (found.low, found.high) == pytest.approx((low, high))


def task(*texts: str, grader: str = "math") -> Task:
    questions = [Question(str(place), text, "7") for place, text in enumerate(texts)]
    return Task("sums", "Sums", grader, ("test",), "test", lambda split: questions, "made here")


def test_questions_are_cut_after_three_fifths_of_their_words() -> None:
    whole = "One two three four five six seven eight nine ten, is it not?"
    made = continued(task(whole, "Short", "小明有三个苹果，小红有四个苹果，他们一共有几个苹果呢？"))
    first, second = made.questions("test")
    assert (first.text, first.gold) == ("One two three four five six seven eight", "nine ten, is it not?")
    assert first.text + " " + first.gold == whole
    assert (second.id, len(second.text), len(second.gold)) == ("2", 17, 10)
    assert made.name == "sums-continued"
    with pytest.raises(TaskError, match="no question is long enough"):
        continued(task("Short", "2 + 2?")).questions("test")


def test_programs_have_no_bare_answer() -> None:
    assert answer_only(task("x", grader="code")) is None
    bare = answer_only(task("x"))
    assert bare is not None
    assert (bare.name, bare.grader, bare.questions("test")[0].text) == ("sums-answer-only", "math", "x")


def probed(right: int, of: int) -> Probed:
    values = np.array([1.0] * right + [0.0] * (of - right))
    return Probed("t", "hash", of, mean_estimate(values), mean_estimate(values), None)


@pytest.mark.parametrize(
    ("own", "against", "seen"),
    [
        (probed(40, 100), None, True),
        (probed(40, 100), probed(0, 100), True),
        (probed(40, 100), probed(35, 100), False),  # texts of this kind can be guessed
        (probed(2, 100), probed(0, 100), False),
        (probed(1, 5), None, False),  # too few to say
    ],
)
def test_seen_is_more_than_chance_and_more_than_elsewhere(own: Probed, against: Probed, seen: bool) -> None:
    assert suspicious(own, against) == seen
    assert ("most likely seen" in sentence(own, against)) == seen
