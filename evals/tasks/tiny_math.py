r"""tiny-math: small problems with LaTeX answers (fractions, signed numbers, sets); 100 test questions."""

from __future__ import annotations

import math
import random

from evals.task import Question, Task
from evals.tasks import synthetic

COUNTS = {"train": 8_000, "dev": 200, "test": 100}


def draw(rng: random.Random) -> Question:
    """One problem of three kinds; ``info["kind"]`` says which, ``info["steps"]`` how it is solved.

    What could be said in two orders is said in one, so that no test problem is a train problem turned round.
    """
    return rng.choice((_fractions, _signed, _sets))(rng)


def _fractions(rng: random.Random) -> Question:
    """A sum or difference of two fractions with one denominator, the result in lowest terms."""
    while True:
        below = rng.randint(3, 29)
        a, c = rng.randint(1, 9), rng.randint(1, 9)
        sign = rng.choice("+-")
        top = a + c if sign == "+" else a - c
        if top and math.gcd(top, below) == 1:
            break
    text = rf"Compute $\frac{{{a}}}{{{below}}} {sign} \frac{{{c}}}{{{below}}}$."
    gold = rf"{'-' if top < 0 else ''}\frac{{{abs(top)}}}{{{below}}}"
    return Question("", text, gold, {"kind": "fractions", "steps": [f"{a}{sign}{c}={top}"]})


def _signed(rng: random.Random) -> Question:
    """Four one-digit numbers whose running sum may go below zero."""
    value = rng.randint(1, 9)
    text, steps = str(value), []
    for _ in range(3):
        sign, operand = rng.choice("+-"), rng.randint(1, 9)
        result = value + operand if sign == "+" else value - operand
        steps.append(f"{value}{sign}{operand}={result}")
        text += f" {sign} {operand}"
        value = result
    return Question("", f"Compute ${text}$.", str(value), {"kind": "signed", "steps": steps})


def _sets(rng: random.Random) -> Question:
    """Which elements of a small set lie above a bound (at least one does, and one does not)."""
    while True:
        elements = sorted(rng.sample(range(2, 60), rng.randint(3, 4)))
        bound = rng.randint(5, 50)
        above = [element for element in elements if element > bound]
        if 0 < len(above) < len(elements):
            break
    listed = ", ".join(map(str, elements))
    text = rf"Which elements of $\{{{listed}\}}$ are greater than ${bound}$? Answer with a set."
    steps = [f"{element} {'yes' if element > bound else 'no'}" for element in elements]
    return Question("", text, rf"\{{{', '.join(map(str, above))}\}}", {"kind": "sets", "steps": steps})


TASK = Task(
    name="tiny-math",
    title="Tiny MATH (LaTeX answers)",
    grader="math",
    splits=synthetic.SPLITS,
    benchmark="test",
    load=lambda split: synthetic.questions(draw, split, COUNTS, "tiny-math"),
    source="generated",
    samples=16,
)
