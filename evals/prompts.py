"""Prompt templates: how a question is put to a model. A protocol names one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evals.tasks.task import DUELS, Question, Task, TaskError

# DeepSeek-R1 paper, table 1: the template R1-Zero was trained and measured with, punctuation included.
R1_ZERO = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The assistant first thinks about the reasoning process in the mind and then provides the user with "
    "the answer. The reasoning process and answer are enclosed within <think> </think> and <answer> "
    "</answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> answer here "
    "</answer>. User: {text}. Assistant:"
)
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
FENCED = "Please reason step by step, and give the whole program in one fenced code block at the end."
FREE = "Please reason step by step, and give your final answer at the end."
# DeepSeek-R1's README: the output is started with this, or the model may skip its reasoning.
THINK = "<think>\n"


def render(question: Question, task: Task, template: str, tokenizer: Any) -> str:
    """The prompt that a model continues, for ``question`` under the named template.

    Templates: "r1-zero" (the paper's, for base models), "tags" (two lines, what the tiny policy was
    pretrained on), "chat-boxed" (the tokenizer's chat template, an instruction that fits the task's
    grader unless answers are compared, and the output begun with ``<think>``), "plain" (the question's
    text alone).
    Braces in the question are text: nothing in it is interpreted.

    Raises:
        TaskError: no template of this name, or "chat-boxed" for a tokenizer without a chat template.
    """
    if template not in TEMPLATES:
        raise TaskError(f"unknown template {template!r}; accepted: {', '.join(TEMPLATES)}")
    return TEMPLATES[template](question, task, tokenizer)


def _r1_zero(question: Question, _task: Task, _tokenizer: Any) -> str:
    return R1_ZERO.replace("{text}", question.text)


def _tags(question: Question, _task: Task, _tokenizer: Any) -> str:
    return f"User: {question.text}\nAssistant:"


def _plain(question: Question, _task: Task, _tokenizer: Any) -> str:
    return question.text


def _chat_boxed(question: Question, task: Task, tokenizer: Any) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise TaskError(
            "template 'chat-boxed' needs a tokenizer with a chat template, and this model's has none; "
            "use r1-zero, tags or plain"
        )
    instruction = {"code": FENCED, "judge": FREE}.get(task.grader, BOXED)
    text = question.text if task.grader in DUELS else f"{question.text}\n{instruction}"
    message = {"role": "user", "content": text}
    prompt: str = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    # The R1 family's own templates begin the reasoning themselves.
    return prompt if prompt.rstrip().endswith("<think>") else prompt + THINK


TEMPLATES: dict[str, Callable[[Question, Task, Any], str]] = {
    "r1-zero": _r1_zero,
    "tags": _tags,
    "chat-boxed": _chat_boxed,
    "plain": _plain,
}
