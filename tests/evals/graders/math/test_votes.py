"""Classes of votes: those that comparing each answer with each would give, without doing so."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.graders.base import Response
from evals.graders.math.grader import MathGrader
from evals.graders.math.votes import Leaders, Sort
from evals.graders.math.workers import Outcome, Pair, Pool
from evals.task import Question

FOLDER = Path(os.environ.get("HARNESS_DATA", "")) / "recorded"


@pytest.fixture(scope="module")
def grader() -> Iterator[MathGrader]:
    with MathGrader() as made:
        yield made


def each_with_each(grader: MathGrader, question: Question, answers: Sequence[str]) -> list[int]:
    """Votes by grading: a class is the gold's, or that of the first answer it equals in both directions."""

    def means(gold: str, answer: str) -> bool:
        return grader.grade([(Question("", question.text, gold), Response(f"\\boxed{{{answer}}}"))])[
            0
        ].correct

    leaders: list[tuple[str, int]] = []
    numbers: dict[str, int] = {}
    found = []
    for answer in answers:
        if means(question.gold, answer):
            name = "the gold's"
        else:
            same = (other for other, _ in leaders if means(other, answer) and means(answer, other))
            name = next(same, answer)
            if name == answer and answer not in numbers:
                leaders.append((answer, len(leaders)))
        found.append(numbers.setdefault(name, len(numbers)))
    return found


SPELLINGS = [
    *("2", "2.0", r"\frac{4}{2}", r"\sqrt{4}", "1+1", "x=2", "2 cm", "2\\%", "0.02", r"\frac{1}{50}"),
    *(r"2\sqrt{3}", r"\sqrt{12}", "3.4641016", "3.46410162", r"\frac{6}{\sqrt{3}}", r"-\sqrt{12}"),
    *(
        "x",
        "y",
        "A",
        "B",
        r"\text{(A)}",
        "xy",
        "yx",
        "x+1",
        "1+x",
        r"\frac{x^2+x}{x}",
        r"\frac{x^2}{x}",
        "2x",
    ),
    *("(1,2)", r"\{1,2\}", r"\{2,1\}", "1,2", "2,1", "(1,2]", "1<x<2", r"x \in (1,2)", r"1 \pm 2", "-1, 3"),
    *(
        r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
        r"\begin{pmatrix} 2/2 \\ 2 \end{pmatrix}",
        "i",
        "-i^3",
        "1+2i",
    ),
    *(
        "east",
        "East",
        r"\text{east}",
        r"\pi",
        "3.14159",
        r"\frac{2\pi}{2}",
        r"180^\circ",
        "180",
        "11_2",
        "11_3",
    ),
    *(
        r"e^{i\pi}",
        "-1",
        r"\infty",
        r"10^{20}",
        "100000000000000000000",
        r"\frac{1}{0}",
        r"\frac{",
        "n!",
        "f(x)=2",
    ),
]


@given(
    st.sampled_from(["2", r"\sqrt{3}", "x+1", "(1,2)", "east"]),
    st.lists(st.sampled_from(SPELLINGS), max_size=14),
)
@settings(max_examples=60, deadline=None)
def test_the_classes_are_those_of_comparing_each_with_each(gold: str, answers: list[str]) -> None:
    question = Question("q", "What is it?", gold)
    assert GRADER.vote_classes(question, answers) == each_with_each(GRADER, question, answers)


GRADER = MathGrader()  # a fixture would be one per example


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    GRADER.close()


@pytest.mark.skipif(not FOLDER.is_dir(), reason="HARNESS_DATA has no recorded/ folder")
def test_recorded_answers_of_a_real_model(grader: MathGrader) -> None:
    with (FOLDER / "math_cot_100x8.jsonl").open(encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    for row, other in zip(rows[:40], rows[40:80], strict=True):
        answers = [answer for answer in row["pred"] + other["pred"] if answer]
        question = Question("q", row["question"], row["gt"])
        assert grader.vote_classes(question, answers) == each_with_each(grader, question, answers)


def test_the_comparisons_grow_with_the_answers_and_not_with_their_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[Pair] = []
    compare = Pool.compare

    def spy(pool: Pool, pairs: Sequence[Pair], seconds: float | None = None) -> list[Outcome]:
        compared.extend(pairs)
        return compare(pool, pairs, seconds)

    monkeypatch.setattr(Pool, "compare", spy)
    answers = [rf"\sqrt{{{n}}}" for n in range(2, 82)] + [rf"2\sqrt{{{n}}}/2" for n in range(2, 82)]
    with MathGrader() as grader:
        classes = grader.vote_classes(Question("q", "", "east"), answers)
    assert classes == [*range(80), *range(80)]
    assert len(compared) <= 5 * len(answers)  # with the gold, and each with the one of like value, both ways


def test_leaders_are_told_oldest_first_and_unknown_sorts_are_like_all() -> None:
    leaders = Leaders()
    sorts = {"set": None, "x": Sort("letters"), "4": Sort("number", 4), "x+1": Sort("formula", 4 + 1e-9)}
    for name, sort in sorts.items():
        leaders.add(name, sort)
    assert leaders.like(None) == ["set", "x", "4", "x+1"]
    assert leaders.like(Sort("number", 4)) == ["set", "4", "x+1"]
    assert leaders.like(Sort("formula", 9)) == ["set", "x"]
    assert leaders.like(Sort("letters")) == ["set", "x", "x+1"]
    assert leaders.like(Sort("number", 4 + 1j)) == ["set"]
    assert leaders.like(Sort("matrix")) == ["set"]
