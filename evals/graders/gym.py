"""Grades answers to reasoning-gym's questions by the scorers that it brings: right from a score of 1 on.

Some of its scorers hand the answer to ``eval`` or to SymPy's parser, which is the same. What a model wrote is
never evaluated here: such a scorer gets an answer only where it can do nothing but be a number, a formula, a
list or a word (``harmless``).
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from evals.base.errors import UsageError, first_line
from evals.graders.base import OneByOne, Response, Verdict
from evals.graders.spelling import final_text, spelling_classes
from evals.task import Question

INSTALL = "reasoning-gym is not installed: pip install 'grpo-harness[reasoning-gym]'"
LONGEST = 10_000
"""Characters of an answer that a scorer is given."""
FUNCTIONS = frozenset(("sin", "cos", "tan", "exp", "log", "ln", "sqrt", "Abs"))

_EVALUATES = re.compile(r"\b(?:eval|exec|parse_expr|sympify)\(|^\s*(?:import|from) sympy", re.MULTILINE)
_PLAIN = re.compile(r"[\w\s,;|#.+\-/°%\[\]{}:'\"]*")
_NODES = (
    *(ast.Expression, ast.UnaryOp, ast.operator, ast.unaryop, ast.Constant, ast.Load, ast.List, ast.Tuple),
)
_LARGEST_POWER = 20


class GymGrader(OneByOne):
    """The grader of reasoning-gym's tasks."""

    def __init__(self) -> None:
        try:
            import reasoning_gym  # noqa: F401
        except ImportError:
            raise UsageError(INSTALL) from None

    def verdict(self, question: Question, response: Response) -> Verdict:
        """The verdict on one response. ``detail`` has the score."""
        return _grade(question, response)

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """One class per spelling."""
        return spelling_classes(answers)


def _grade(question: Question, response: Response) -> Verdict:
    found = final_text(response, lines=max(1, len(question.gold.strip().splitlines())))
    answer = found.answer
    if answer is None:
        return Verdict("unparsed", None, found.rule)
    score, evaluates = _scorer(question.info["generator"])
    if len(answer) > LONGEST or (evaluates and not harmless(answer)):
        return Verdict("wrong", answer, "not scored: the scorer would evaluate it")
    try:
        value = float(score(answer, dict(question.info["entry"])))
    except Exception as error:  # scorers raise whatever an answer of another form makes them raise
        return Verdict("wrong", answer, f"not scored: {type(error).__name__}: {first_line(error)}")
    return Verdict("correct" if value >= 1 else "wrong", answer, f"score {value:g}, {found.rule}")


@lru_cache(maxsize=128)
def _scorer(generator: str) -> tuple[Callable[[str, dict[str, Any]], float], bool]:
    """A generator's scorer, and whether its module evaluates text."""
    from reasoning_gym.factory import DATASETS, get_score_answer_fn

    module = inspect.getmodule(DATASETS[generator][0])
    evaluates = module is None or _EVALUATES.search(inspect.getsource(module)) is not None
    return get_score_answer_fn(generator), evaluates


def harmless(answer: str) -> bool:
    """Whether evaluating ``answer`` can do no more than arithmetic that soon ends."""
    if "**" not in answer and _PLAIN.fullmatch(answer) and "__" not in answer:
        return True  # nothing can be called without a parenthesis
    try:
        tree = ast.parse(answer.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_harmless(node) for node in ast.walk(tree))


def _is_harmless(node: ast.AST) -> bool:
    match node:
        case ast.Call():
            return isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and not node.keywords
        case ast.BinOp(op=ast.Pow()):
            return _small(node.right) and not any(isinstance(each, ast.Pow) for each in ast.walk(node.left))
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.FloorDiv() | ast.Mod()):
            return not any(_repeats(side) for side in (node.left, node.right))
        case ast.BinOp():
            return False
        case ast.Name():
            return "__" not in node.id
        case _:
            return isinstance(node, _NODES)


def _small(power: ast.expr) -> bool:
    """Whether an exponent is a small number, or a fraction of two."""
    match power:
        case ast.UnaryOp():
            return _small(power.operand)
        case ast.BinOp(op=ast.Div()):
            return _small(power.left) and _small(power.right)
        case ast.Constant():
            return isinstance(power.value, int | float) and power.value <= _LARGEST_POWER
        case _:
            return False


def _repeats(node: ast.expr) -> bool:
    """Whether a number times it would be many of it."""
    text = isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    return text or isinstance(node, ast.List | ast.Tuple)
