r"""Anything may stand in a response: no exception, no hang beyond the limit, no verdict out of thin air."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.graders.base import Response, Verdict
from evals.graders.choice import ChoiceGrader
from evals.graders.integer import IntegerGrader
from evals.graders.math.grader import MathGrader
from evals.task import Question

STATUSES = {"correct", "wrong", "unparsed", "grader_error"}
GOLDS = [
    "5",
    r"\frac{1}{2}",
    r"2\sqrt{3}",
    "(1,2)",
    r"\{1,2\}",
    "x>2",
    r"\text{east}",
    r"10\%",
    "4t",
    "11_2",
    "",
]

PIECES = r"""
0 1 7 12 -3 0.5 .25 1,000 x y n t e i \pi \infty ٣ ½ ² ∞ √2 π −4 १२ % \% \$5 ^\circ \text{cm} east A (B)
= < \le , ; \pm \cup \in \ldots \approx ! _2 _{10} ^2 ^{-1} & \\ $ \( | { } ( ) [ ] \{ \} \left( \right]
\left. <think> </think> <answer> </answer> #### \boxed \boxed{ 🙂
"""
WHOLE = [*PIECES.split(), "The answer is ", "\nA: ", "\x00", "\ud7ff", "\u202e", "  ", "\n"]
WRAPPINGS = r"""
\frac{{{0}}}{{{1}}} \sqrt{{{0}}} \sqrt[{0}]{{{1}}} {0}^{{{1}}} {0}_{{{1}}} ({0},{1}) [{0},{1}) {0}!
\{{{0},{1}\}} \text{{{0}}} \log_{{{0}}}{1} \sin({0}) \binom{{{0}}}{{{1}}} |{0}| {0}\pm{1} {0}<x<{1}
\boxed{{{0}}} ${0}$ \left({0}\right) \sum_{{k=1}}^{{{0}}}{1} \overline{{{0}}} f({0})={1}
"""
MATRIX, INTEGRAL = r"\begin{{pmatrix}} {0} \\ {1} \end{{pmatrix}}", r"\int_0^{{{0}}} {1} dx"
AROUND = [*WRAPPINGS.split(), MATRIX, INTEGRAL, "{0} or {1}"]

ADVERSARIAL = [
    "9^{9^{9^{9}}}",
    "(10^{10})!!!",
    r"\binom{10^9}{5\cdot 10^8}",
    "(x+1)^{100000}",
    r"\prod_{n=1}^{10^9} n",
    "2^{100000000}",
    r"\frac{1}{" * 200 + "2" + "}" * 200,
    "{" * 3000 + "5" + "}" * 3000,
    "(" * 30 + "5" + ")" * 30,
    r"\sqrt{" * 35 + "2" + "}" * 35,
    "1," * 2000,
    "9" * 1_000_000,
    "x" * 1_000_000,
    "\\" * 1_000_000,
    r"\boxed{" * 20_000,
    "-" * 900 + "5",
    "1" + "+1" * 400,
    "5" + "\u0300" * 900,
    "__import__('os').abort()",
    r"\input{/etc/passwd}",
    "1e999999999",
    "0x10",
    "0/0",
    r"\frac{0}{0}",
    "10^{-400}",
    "١٢٣٤٥",
]  # fmt: skip


def fragment(generator: random.Random, depth: int) -> str:
    """A piece of LaTeX, mostly well-formed, sometimes not."""
    if depth == 0 or generator.random() < 0.35:
        return "".join(generator.choice(WHOLE) for _ in range(generator.randint(1, 3)))
    one, two = fragment(generator, depth - 1), fragment(generator, depth - 1)
    text = generator.choice(AROUND).format(one, two)
    if generator.random() < 0.05:
        place = generator.randrange(len(text) + 1)
        text = text[:place] + text[place + 1 :]
    return text


def check(items: list[tuple[Question, Response]], verdicts: list[Verdict]) -> None:
    assert len(verdicts) == len(items)
    for (question, response), verdict in zip(items, verdicts, strict=True):
        assert verdict.status in STATUSES
        assert (verdict.answer is None) == (verdict.status == "unparsed"), (response.text[:200], verdict)
        assert not (verdict.correct and not question.gold), response.text[:200]


@pytest.fixture(scope="module")
def grader() -> Iterator[MathGrader]:
    with MathGrader(seconds=0.3) as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_adversarial_answers(grader: MathGrader) -> None:
    items = [
        (Question(id="q", text="", gold=gold), Response(text))
        for answer in ADVERSARIAL
        for gold, text in (("5", f"\\boxed{{{answer}}}"), ("east", f"The answer is {answer}"))
    ]
    verdicts = grader.grade(items)
    check(items, verdicts)
    right = {
        response.text[:60] for (_, response), verdict in zip(items, verdicts, strict=True) if verdict.correct
    }
    assert all(len(text.replace("{", "").replace("(", "")) < 60 for text in right)
    for other in (IntegerGrader(), ChoiceGrader()):
        check(items, other.grade(items))
    classes = grader.vote_classes(items[0][0], [verdict.answer for verdict in verdicts])
    assert len(classes) == len(items)


@given(st.text(max_size=300), st.sampled_from(GOLDS), st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text(grader: MathGrader, text: str, gold: str, truncated: bool) -> None:
    item = (Question(id="q", text="", gold=gold), Response(text, truncated))
    for judge in (grader, IntegerGrader(), ChoiceGrader()):
        check([item], judge.grade([item]))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_thousands_of_responses(grader: MathGrader) -> None:
    generator = random.Random(0)
    items = []
    for _ in range(6_000):
        answer = fragment(generator, generator.randint(0, 3))
        text = generator.choice(
            [f"\\boxed{{{answer}}}", f"<answer>{answer}</answer>", answer, f"Answer: ${answer}$"]
        )
        question = Question(id="q", text="", gold=generator.choice(GOLDS))
        items.append((question, Response(text, truncated=generator.random() < 0.1)))
    verdicts = grader.grade(items)
    check(items, verdicts)
    counts = Counter(verdict.status for verdict in verdicts)
    # Every outcome occurs, and a gold that can be read is seldom the grader's failure.
    assert set(counts) == STATUSES
    failures = [v for (q, _), v in zip(items, verdicts, strict=True) if q.gold and v.status == "grader_error"]
    assert len(failures) < 0.02 * len(items), Counter(v.detail for v in failures).most_common(5)
    for other in (IntegerGrader(), ChoiceGrader()):
        check(items, other.grade(items))
