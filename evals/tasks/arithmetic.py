"""tiny-aime: chained integer arithmetic with answers from 0 to 999, as in AIME; 30 test questions."""

from __future__ import annotations

import random

from evals.task import Question, Task
from evals.tasks import synthetic

COUNTS = {"train": 8_000, "dev": 200, "test": 30}
WORDS = {"+": "add", "-": "subtract"}


def draw(rng: random.Random) -> Question:
    """A chain of two to four operations on three-digit numbers, of which no digit carries or borrows.

    So every step is a fact about each digit, which a model of a million parameters learns in two minutes;
    the chain as a whole still cannot be guessed. ``info["steps"]`` lists (left, operator, right, result).
    """
    value = start = rng.randint(100, 999)
    steps: list[tuple[int, str, int, int]] = []
    for _ in range(rng.randint(2, 4)):
        operator, operand, result = _operation(rng, value)
        steps.append((value, operator, operand, result))
        value = result
    words = synthetic.lettered(f"{WORDS[operator]} {operand}" for _, operator, operand, _ in steps)
    text = f"Start with {start}. {words}. Result?"
    return Question(id="", text=text, gold=str(value), info={"steps": steps})


def _operation(rng: random.Random, value: int) -> tuple[str, int, int]:
    """Operator, operand and result; both numbers have three digits."""
    hundreds, *rest = (int(digit) for digit in str(value))
    operators = [o for o, possible in (("+", hundreds < 9), ("-", hundreds > 1)) if possible]
    operator = rng.choice(operators)
    if operator == "+":
        operand = _number(rng.randint(1, 9 - hundreds), *(rng.randint(0, 9 - digit) for digit in rest))
        return operator, operand, value + operand
    operand = _number(rng.randint(1, hundreds - 1), *(rng.randint(0, digit) for digit in rest))
    return operator, operand, value - operand


def _number(hundreds: int, tens: int, ones: int) -> int:
    return 100 * hundreds + 10 * tens + ones


TASK = Task(
    name="tiny-aime",
    title="Tiny AIME (chained arithmetic)",
    grader="integer",
    splits=synthetic.SPLITS,
    benchmark="test",
    load=lambda split: synthetic.questions(draw, split, COUNTS, "tiny-aime"),
    source="generated",
    samples=64,
)
