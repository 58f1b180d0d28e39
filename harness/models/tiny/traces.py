"""Procedurally generated reasoning traces of mixed quality: what the tiny policy is pretrained on.

A base model that reasons badly has seen much: careful chains of steps, guesses that skip them, answers
outside the tags, two languages in one thought, rambling that never ends. RL then has something to choose
from. Every trace solves a question of the "train" split, so test questions stay unseen.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from evals.task import Question
from evals.tasks import arithmetic, synthetic, tiny_code, tiny_math
from evals.tasks.synthetic import split_of

ENGLISH = "step by step"
CHINESE = "一步一步"
RAMBLE = "let me see" + ", wait, let me see" * 24


@dataclass(frozen=True)
class Mixture:
    """The shares of good and bad habits in the corpus; all are probabilities."""

    sloppy: float = 0.5
    """A guess without steps instead of a careful chain."""
    step_error: float = 0.01
    """An error in a careful step, carried on from there."""
    mended: float = 0.04
    """A careful trace writes a wrong step, says "wait", and mends it."""
    mixed_language: float = 0.25
    """A careful trace begins in Chinese and goes on in English."""
    bad_format: float = 0.12
    """The answer is not where R1's template wants it."""
    rambling: float = 0.04
    """The thought repeats itself and does not end."""


FLAWLESS = Mixture(sloppy=0, step_error=0, mended=0, mixed_language=0, bad_format=0, rambling=0)


def trace(rng: random.Random, mixture: Mixture) -> tuple[Question, str]:
    """A question of the train split and one response to it."""
    draw = rng.choices((arithmetic.draw, tiny_math.draw, tiny_code.draw), (0.6, 0.25, 0.15))[0]
    question = draw(rng)
    while split_of(question.text) != "train":
        question = draw(rng)
    if rng.random() < mixture.rambling:
        return question, f"<think>{RAMBLE}"
    solution = _sloppy if rng.random() < mixture.sloppy else _careful
    thought, answer = solution(rng, question, mixture)
    return question, _formatted(rng, thought, answer, mixture)


def _careful(rng: random.Random, question: Question, mixture: Mixture) -> tuple[str, str]:
    steps, answer = _worked(rng, question, mixture)
    opening = CHINESE if rng.random() < mixture.mixed_language else ENGLISH
    if rng.random() < mixture.mended:
        position = rng.randrange(len(steps))
        steps[position] = f"{_wrong_result(rng, steps[position])}, wait, {steps[position]}"
    return f"{opening} {synthetic.lettered(steps)}", answer


def _worked(rng: random.Random, question: Question, mixture: Mixture) -> tuple[list[str], str]:
    """The steps as text, and the answer that they lead to (wrong when a step went wrong)."""
    if "expressions" in question.info:
        expressions = question.info["expressions"]
        if rng.random() < mixture.step_error:
            expressions = [*expressions[:-1], _wrong_result(rng, expressions[-1])]
        return [str(e) for e in expressions[1:]], _program(expressions[-1])
    if "kind" in question.info:
        steps = list(question.info["steps"])
        if rng.random() < mixture.step_error * len(steps):
            # The chain's later steps follow from the true value here; only the answer carries the error.
            return steps, _wrong_result(rng, question.gold)
        return steps, question.gold
    return _chain(rng, question, mixture)


def _chain(rng: random.Random, question: Question, mixture: Mixture) -> tuple[list[str], str]:
    value: int | None = None
    steps = []
    for left, operator, right, _ in question.info["steps"]:
        left = left if value is None else value
        value = {"+": left + right, "-": left - right, "*": left * right}[operator]
        if rng.random() < mixture.step_error:
            value = max(0, value + rng.choice((-10, -1, 1, 10)))
        steps.append(f"{left}{operator}{right}={value}")
    return steps, str(value)


def _sloppy(rng: random.Random, question: Question, mixture: Mixture) -> tuple[str, str]:
    """A guess that comes near the answer, without the steps."""
    if "expressions" in question.info:
        expression = question.info["expressions"][-1]
        guess = expression if rng.random() < 0.3 else _wrong_result(rng, expression)
        return "it looks easy", _program(guess)
    guess = question.gold if rng.random() < 0.3 else _wrong_result(rng, question.gold)
    return "it looks like a guess", guess


def _program(expression: str) -> str:
    return f"def f(x): return {expression}"


def _wrong_result(rng: random.Random, text: str) -> str:
    """``text`` with one of its numbers (the last, mostly) off by a little."""
    numbers = list(re.finditer(r"\d+", text))
    number = numbers[-1] if rng.random() < 0.7 else rng.choice(numbers)
    value = int(number.group())
    off = max(0, value + rng.choice((-20, -10, -3, -2, -1, 1, 2, 3, 10, 20)))
    wrong = off if off != value else value + 1
    return text[: number.start()] + str(wrong) + text[number.end() :]


def _formatted(rng: random.Random, thought: str, answer: str, mixture: Mixture) -> str:
    good = f"<think>{thought}</think><answer>{answer}</answer>"
    if rng.random() >= mixture.bad_format:
        return good
    return rng.choice(
        (
            f"<think>{thought}<answer>{answer}</answer>",
            f"<think>{thought}</think>{answer}",
            f"{thought}<answer>{answer}</answer>",
            f"{good}<answer>{answer}</answer>",
        )
    )
