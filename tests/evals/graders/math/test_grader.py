"""The grader of mathematics: equivalence both ways, verdicts, votes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.base.errors import UsageError
from evals.graders.base import Response
from evals.graders.math import exact
from evals.graders.math.grader import MathGrader
from evals.graders.registry import make_grader
from evals.task import Question


@pytest.fixture(scope="module")
def grader() -> Iterator[MathGrader]:
    with MathGrader() as made:
        yield made


def question(gold: str, text: str = "") -> Question:
    return Question(id="q", text=text, gold=gold)


def verdict(grader: MathGrader, gold: str, answer: str, text: str = "") -> str:
    return grader.grade([(question(gold, text), Response(f"So \\boxed{{{answer}}}."))])[0].status


EQUAL = [
    # numbers
    ("10{,}000", "10000"),
    (r"11,\! 111,\! 111,\! 100", "11111111100"),
    (r"\dfrac{9}{7}", "9/7"),
    (r"\dfrac{9}{7}", r"\frac{18}{14}"),
    (r"12\frac{3}{5}", "12.6"),
    (".0000672", r"6.72 \times 10^{-5}"),
    ("0.15", r"15\%"),
    (r"10\%", "0.1"),
    (r"10\%", "10 percent"),
    ("1024", "2^{10}"),
    ("120", "5!"),
    # expressions
    (r"2\sqrt{3}", r"\sqrt{12}"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"),
    ("p - q", "-q+p"),
    ("(a+5)(b+2)", "ab+2a+5b+10"),
    (r"\cot x", r"\frac{1}{\tan x}"),
    ("1+274i", "274i+1"),
    (r"\frac{20000}{\pi}", r"20000/\pi"),
    ("4t", r"t \cdot 4"),
    (r"\sqrt{51}", r"\sqrt{51} \approx 7.14"),
    # names and equations
    ("5", "x=5"),
    ("x=5", "5"),
    ("33", "m+n = 33"),
    ("y=2x+3", "3+2x"),
    ("5x-7y+11z+4=0", "-5x+7y-11z-4=0"),
    ("2x+y=3", "y=3-2x"),
    # units that one side leaves out, or spells differently
    (r"15\mbox{ cm}^2", "15"),
    ("5", "5 cm"),
    (r"15\mbox{ cm}^2", r"15\text{ square centimeters}"),
    (r"\$18.90", "18.9"),
    (r"90^\circ", "90"),
    # bases
    ("52_8", "52_{8}"),
    ("52_8", "52"),
    # collections
    ("1,-2", "-2, 1"),
    (r"\{1,2\}", "2, 1"),
    ("1,-2", r"x = 1 \text{ or } x = -2"),
    ("(1,2)", "1,2"),
    (r"1\pm\sqrt{19}", r"1+\sqrt{19},1-\sqrt{19}"),
    (r"\{1\pm\sqrt{5},-2\}", r"-2, 1-\sqrt5, 1+\sqrt5"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)"),
    ("3", r"\{3\}"),
    ("x=1,y=2", "y=2,x=1"),
    (r"\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix}", r"\begin{bmatrix} -\frac13 \\ \frac23 \end{bmatrix}"),
    # words
    ("2", r"\text{two}"),
    (r"\text{Evelyn}", "evelyn"),
    (r"\text{(C)}", "C"),
]

EQUAL_BOTH_WAYS = [
    ("(1,2)", "1<x<2"),
    ("(3,4]", r"3<x\le4"),
    ("(3,4]", r"4 \ge x > 3"),
    (r"(2,\infty)", "x>2"),
    (r"(-\infty, 2) \cup (3, \infty)", r"x<2 \text{ or } x>3"),
    (r"x \in [-2,7]", r"-2 \le x \le 7"),
    (r"(0,9) \cup (9,36)", r"(9,36)\cup(0,9)"),
]

DIFFERENT = [
    (r"10\%", "10"),
    ("10", r"10\%"),
    ("(1,2)", r"\{1,2\}"),
    (r"\{1,2\}", "(1,2)"),
    ("(1,2)", "{1,2}"),
    (r"2\sqrt{3}", "3.4641016"),
    (r"\frac{1}{3}", "0.333333"),
    (r"\left( 3, \frac{\pi}{2} \right)", "(3, 1.5707963)"),
    ("11_2", "11_3"),
    ("5 m", "5 cm"),
    (r"5\text{ m}", r"5\text{ cm}"),
    (r"15\mbox{ cm}^2", r"15 \text{ cm}"),
    (r"\$36", r"36 \text{ cents}"),
    ("4t", "4"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "2,1"),
    ("(3,4]", "[3,4]"),
    ("x>2", r"x\ge 2"),
    ("1<x<2", "1<y<2"),
    (r"1\pm\sqrt{19}", r"1+\sqrt{19}"),
    ("x=5", "y=5"),
    ("x=1,y=2", "x=2,y=1"),
    ("p-q", "q-p"),
    ("5x-7y+11z+4=0", "5x-7y+11z+3=0"),
    ("x=5", "-x=5"),
    (r"\text{Evelyn}", r"\text{Carla}"),
    (r"\text{Evelyn}", "5"),
    ("1, 2", "1, 2, 3"),
    ("12", "1"),
    ("12", "1 2"),
]


@pytest.mark.parametrize(
    ("gold", "answer"), [*EQUAL, *EQUAL_BOTH_WAYS, *((two, one) for one, two in EQUAL_BOTH_WAYS)]
)
def test_what_means_the_gold(grader: MathGrader, gold: str, answer: str) -> None:
    assert verdict(grader, gold, answer) == "correct"


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_what_does_not(grader: MathGrader, gold: str, answer: str) -> None:
    assert verdict(grader, gold, answer) == "wrong"


def test_a_percentage_answers_a_bare_gold_where_the_question_asks_for_one(grader: MathGrader) -> None:
    asked = "What percent of the students passed?"
    assert verdict(grader, "25", r"25\%", asked) == "correct"
    assert verdict(grader, "25", "25", asked) == "correct"
    assert verdict(grader, "25", r"24\%", asked) == "wrong"
    assert verdict(grader, "25", r"25\%", "How many students passed?") == "wrong"
    assert verdict(grader, r"25\%", "25", "How many students passed?") == "wrong"


def test_verdicts_say_what_was_extracted_and_why(grader: MathGrader) -> None:
    items = [
        (question("4"), Response(r"\boxed{4}")),
        (question("4"), Response("it is 4")),
        (question("4"), Response("it is 5")),
        (question("4"), Response("who knows")),
        (question("4"), Response("it is 4", truncated=True)),
        (question(""), Response(r"\boxed{4}")),
        (question(r"\frac{4"), Response(r"\boxed{4}")),
        (question(r"\frac{4"), Response(r"The answer is $\frac{4$.")),
        (question("4"), Response(r"\boxed{" + "9" * 5000 + "}")),
        (question("4"), Response(r"\boxed{" + "(" * 500 + "4" + ")" * 500 + "}")),
    ]
    verdicts = grader.grade(items)
    assert [v.status for v in verdicts] == [
        "correct", "correct", "wrong", "unparsed", "unparsed",
        "grader_error", "grader_error", "correct", "wrong", "wrong",
    ]  # fmt: skip
    assert verdicts[0].answer == "4"
    assert verdicts[0].detail == "box"
    assert verdicts[1].detail == "last number"
    assert verdicts[3].answer is None
    assert "cannot be read" in verdicts[6].detail
    assert all(len(v.answer or "") <= 1000 for v in verdicts)


SLOW = r"\int_0^1 \int_0^1 \int_0^1 \sqrt{{x^2+y^2+z^2+{}}} dx dy dz"


def test_an_answer_that_takes_too_long_is_wrong_where_the_gold_can_be_read() -> None:
    items = [
        (question("5"), Response(rf"\boxed{{{SLOW.format(1)}}}")),
        (question(r"\frac{4"), Response(rf"\boxed{{{SLOW.format(1)}}}")),
        (question(r"2\sqrt{3}"), Response(r"\boxed{\sqrt{12}}")),
    ]
    with MathGrader(workers=1, seconds=0.4) as grader:
        verdicts = grader.grade(items)
        assert [verdict.status for verdict in verdicts] == ["wrong", "grader_error", "correct"]
        assert "time limit" in verdicts[0].detail
        assert grader.vote_classes(question("5"), [SLOW.format(1), "5", None]) == [0, 1, None]


@pytest.mark.timeout(300)
def test_many_slow_answers_cost_a_call_its_budget_and_no_more() -> None:
    items = [(question("5"), Response(rf"\boxed{{{SLOW.format(n)}}}")) for n in range(40)]
    items.append((question(r"2\sqrt{3}"), Response(r"\boxed{\sqrt{12}}")))
    with MathGrader(workers=1, seconds=60.0, budget=1.0) as grader:
        grader.grade(items[-1:])
        started = time.monotonic()
        verdicts = grader.grade(items)
        taken = time.monotonic() - started
    assert [verdict.status for verdict in verdicts] == ["wrong"] * 40 + ["correct"]
    assert taken < 90  # 40 first looks of 0.3 s of a processor, and not 40 minutes


def test_without_processes_an_answer_is_not_graded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with MathGrader() as grader:
        [verdict] = grader.grade([(question(r"2\sqrt{3}"), Response(r"\boxed{\sqrt{12}}"))])
    assert verdict.status == "grader_error"


def test_an_empty_batch(grader: MathGrader) -> None:
    assert grader.grade([]) == []
    assert grader.vote_classes(question("4"), []) == []


@pytest.mark.parametrize(
    ("gold", "answers", "classes"),
    [
        ("5", ["4", None, "4.0", "5", r"\frac{8}{2}", None, "6"], [0, None, 0, 1, 0, None, 2]),
        (r"\sqrt{2}", [r"\frac{2}{\sqrt{2}}", "1", r"\sqrt2", r"\sqrt{8}/2"], [0, 1, 0, 0]),
        ("7", [r"2\sqrt{3}", r"\sqrt{12}", "3.4641016"], [0, 0, 1]),
        ("7", ["(1,2)", r"\{1,2\}", "1<x<2", r"\{2,1\}"], [0, 1, 0, 1]),
        # units that the gold leaves open are one class where they are right, different where they are wrong
        ("5", ["5 cm", "5 m", "5", "6 cm", "6 m"], [0, 0, 0, 1, 2]),
        ("", ["4", r"\frac{8}{2}", "5"], [0, 0, 1]),
        ("5", ["9" * 3000, "9" * 3000, "5"], [0, 0, 1]),
    ],
)
def test_votes_are_classes_of_equivalent_answers(
    grader: MathGrader, gold: str, answers: list[str | None], classes: list[int | None]
) -> None:
    assert grader.vote_classes(question(gold), answers) == classes


values = st.fractions(min_value=-50, max_value=50, max_denominator=12)


def spelled(value: Fraction, style: int) -> str:
    return [
        rf"\frac{{{value.numerator}}}{{{value.denominator}}}",
        f"{value.numerator}/{value.denominator}",
        rf"\dfrac{{{2 * value.numerator}}}{{{2 * value.denominator}}}",
        f"x = {value}",
    ][style]


@given(values, st.lists(st.tuples(values, st.integers(0, 3)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_votes_of_numbers_are_classes_of_equal_fractions(
    gold: Fraction, votes: list[tuple[Fraction, int]]
) -> None:
    with MathGrader() as grader:  # numbers need no process, so none is started
        answers = [spelled(value, style) for value, style in votes]
        classes = grader.vote_classes(question(str(gold)), answers)
        first: dict[Fraction, int] = {}
        assert classes == [first.setdefault(value, len(first)) for value, _ in votes]
        verdicts = grader.grade(
            [(question(str(gold)), Response(f"\\boxed{{{answer}}}")) for answer in answers]
        )
        assert [v.correct for v in verdicts] == [value == gold for value, _ in votes]


@given(st.text(max_size=60))
def test_every_answer_means_itself(text: str) -> None:
    assert exact.decide(text, text) is True


@given(st.lists(values, min_size=2, max_size=6, unique=True), st.randoms(use_true_random=False))
def test_order_matters_in_tuples_only(items: list[Fraction], random: object) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = (", ".join(map(str, order)) for order in (items, shuffled))
    assert exact.decide(rf"\{{{one}\}}", rf"\{{{two}\}}") is True
    assert exact.decide(one, two) is True
    assert exact.decide(f"({one})", f"({two})") is (items == shuffled)
    assert exact.decide(f"({one})", two) is (items == shuffled)
    assert exact.decide(rf"\{{{one}\}}", f"({two})") is False
    assert exact.decide(one, f"{two}, 77") is False


@given(values, values, st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_inequalities_are_intervals(
    low: Fraction, high: Fraction, left: bool, right: bool, other_left: bool, other_right: bool
) -> None:
    interval = f"{'[' if left else '('}{low}, {high}{']' if right else ')'}"
    less, at_most = ("\\le" if closed else "<" for closed in (other_left, other_right))
    more, at_least = ("\\geq" if closed else ">" for closed in (other_left, other_right))
    chain = f"{low} {less} x {at_most} {high}"
    turned = f"{high} {at_least} x {more} {low}"
    same = (left, right) == (other_left, other_right)
    for inequality in (chain, turned):
        assert exact.decide(interval, inequality) is same
        assert exact.decide(inequality, interval) is same


def test_a_grader_can_be_made_by_kind() -> None:
    with make_grader("math") as made:
        assert made.isolation == "none needed"
    with pytest.raises(UsageError, match="unknown grader 'poetry'"):
        make_grader("poetry")
