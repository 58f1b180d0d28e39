"""tiny-code: one-line Python functions described in words, graded by running tests; 50 test questions."""

from __future__ import annotations

import random
from collections.abc import Callable

from evals.task import Question, Task
from evals.tasks import synthetic

COUNTS = {"train": 4_000, "dev": 100, "test": 50}
INPUTS = (0, 1, 2, 7, 10, -3, 25)

# words, Python, and the function itself: the reference never runs the text of a program
Step = tuple[str, str, Callable[[int, int], int]]
STEPS: tuple[Step, ...] = (
    ("add {n}", "({x}+{n})", lambda x, n: x + n),
    ("subtract {n}", "({x}-{n})", lambda x, n: x - n),
    ("multiply by {n}", "{x}*{n}", lambda x, n: x * n),
    ("take the remainder by {n}", "({x}%{n})", lambda x, n: x % n),
    ("take the larger of it and {n}", "max({x},{n})", max),
    ("take the smaller of it and {n}", "min({x},{n})", min),
)


def draw(rng: random.Random) -> Question:
    """Two steps on an integer; ``info["expressions"]`` is the function's body built up step by step."""
    while True:
        words, expressions, functions = [], ["x"], []
        for text, code, function in rng.sample(STEPS, 2):
            n = rng.randint(2, 30)
            words.append(text.format(n=n))
            expressions.append(code.format(x=expressions[-1], n=n))
            functions.append((function, n))
        outputs = [_apply(functions, x) for x in INPUTS]
        if len(set(outputs)) >= 4:  # else a constant might pass
            break
    tests = "\n".join(f"assert f({x}) == {y}" for x, y in zip(INPUTS, outputs, strict=True))
    text = f"Write a Python function f(x). {synthetic.lettered(words)}."
    info = {
        "style": "function",
        "prompt": "",
        "entry_point": "f",
        "setup": "",
        "tests": tests,
        "expressions": expressions,
    }
    return Question(id="", text=text, info=info)


def _apply(functions: list[tuple[Callable[[int, int], int], int]], x: int) -> int:
    for function, n in functions:
        x = function(x, n)
    return x


TASK = Task(
    name="tiny-code",
    title="Tiny code (Python functions)",
    grader="code",
    splits=synthetic.SPLITS,
    benchmark="test",
    load=lambda split: synthetic.questions(draw, split, COUNTS, "tiny-code"),
    source="generated",
    samples=16,
)
