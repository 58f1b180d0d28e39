"""A prompt template: the question and nothing else, but for a line that asks for a number."""

from typing import Any

from evals.task import Question, Task


def quiet(question: Question, task: Task, tokenizer: Any) -> str:
    return f"User: {question.text} Only a number.\nAssistant:"
