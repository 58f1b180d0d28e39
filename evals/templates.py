"""Prompt templates: how a question is put to a model. A protocol names one, or holds one of its own.

A template is data (``Template``); the names are templates that are built in. What data cannot say is said by
a function ``(question, task, tokenizer) -> prompt``, named "file.py:name" or offered by a package.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PrivateAttr, field_validator, model_validator

from evals.base.errors import UsageError, first_line
from evals.base.registry import Registry
from evals.task import DUELS, Question, Task, TaskError
from evals.tasks.registry import EVERYONE, Tasks

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
FENCED = "Please reason step by step, and give the whole program in one fenced code block at the end."
FREE = "Please reason step by step, and give your final answer at the end."
THINK_OPENS, THINK_CLOSES = "<think>", "</think>"
# DeepSeek-R1's README: the output is started with this, or the model may skip its reasoning.
THINK = f"{THINK_OPENS}\n"
AUTO = "auto"
"""The usual template: "chat-boxed" where the tokenizer has a chat template, "r1-zero" where it has none."""


Examples = tuple[tuple[Task, Question], ...]
"""Questions that a prompt shows with their answers."""
Draw = Callable[[str], Examples]


def _drawn(tasks: Tasks, spec: str) -> Examples:
    task, questions = tasks.load_spec(spec)
    return tuple((task, question) for question in questions)


_usual_draw: Draw = lru_cache(maxsize=16)(partial(_drawn, EVERYONE))


class Template(BaseModel):
    """How a question becomes the text that a model continues.

    Braces in the question are text: nothing in it is interpreted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: Literal["chat", "text"] = "chat"
    """"chat" goes through the tokenizer's own chat template, "text" is written as it stands."""
    system: str | None = None
    """The system message; by default the one that the tokenizer's chat template puts there, or none."""
    instruction: str = "{question}\n{format}"
    """What is asked. {format} is the usual instruction of the task's grader ("... within \\boxed{}."); where
    a judge compares whole answers it is empty."""
    examples: str = ""
    """Questions with their answers that stand before the question: "gsm8k:train[:4]", or some of a table
    [tasks.NAME], never the benchmark's own. A question that is itself among them is asked without that
    example."""
    example_answer: str = ""
    """How the answer of an example is written: {answer} is the data's. By default \\boxed{{answer}} where
    {format} asks for a box, and {answer} alone elsewhere."""
    chat_template_kwargs: dict[str, Any] = {}
    """What the tokenizer's chat template is given besides: { enable_thinking = false }."""
    opens: str = AUTO
    """What the response begins with, as text ("<think>\\n"), or "" for nothing. "auto": nothing, but
    "<think>" for a chat template that knows of thinking and opens or closes none itself."""
    stop: tuple[str, ...] = ()
    """A response ends before the first of these."""
    _draw: Draw = PrivateAttr(default_factory=lambda: _usual_draw)

    def draw_from(self, tasks: Tasks) -> None:
        """Lets ``examples`` name what is among ``tasks``, an experiment's own."""
        if self.examples:
            self._draw = lru_cache(maxsize=1)(partial(_drawn, tasks))

    @field_validator("instruction")
    @classmethod
    def _asks(cls, value: str) -> str:
        if "{question}" not in value:
            raise ValueError("must contain {question}, where the question is put")
        return value

    @field_validator("stop")
    @classmethod
    def _stops_at_something(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "" in value:
            raise ValueError("a stop string must not be empty: it would end every response at once")
        return value

    @model_validator(mode="after")
    def _has_effect(self) -> Template:
        if self.kind == "text" and self.chat_template_kwargs:
            raise ValueError('chat_template_kwargs has no effect with kind = "text": leave one of them out')
        if self.example_answer and not self.examples:
            raise ValueError("example_answer has no effect without examples")
        return self


# DeepSeek-R1 paper, table 1: the template R1-Zero was trained and measured with, punctuation included.
R1_ZERO = Template(
    kind="text",
    instruction="A conversation between User and Assistant. The user asks a question, and the Assistant "
    "solves it. The assistant first thinks about the reasoning process in the mind and then provides the "
    "user with the answer. The reasoning process and answer are enclosed within <think> </think> and "
    "<answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> answer "
    "here </answer>. User: {question}. Assistant:",
)
TAGS = Template(kind="text", instruction="User: {question}\nAssistant:")
"""Two lines: what the tiny policy was pretrained on."""
CHAT_BOXED = Template()
PLAIN = Template(kind="text", instruction="{question}")

CHAT = "chat-boxed"
"""The usual template of a model that chats."""
TEXT = "r1-zero"
"""The usual template of one that does not: its tokenizer has no chat template."""

TemplateFunction = Callable[[Question, Task, Any], str]
TEMPLATES = Registry(
    "template",
    "harness.templates",
    {
        TEXT: "evals.templates:R1_ZERO",
        "tags": "evals.templates:TAGS",
        CHAT: "evals.templates:CHAT_BOXED",
        "plain": "evals.templates:PLAIN",
    },
)


def find(template: str | Template) -> Template | TemplateFunction:
    """The template of this name, or the one given.

    Raises:
        UsageError: nothing has this name, or what is there is neither a ``Template`` nor a function.
    """
    if isinstance(template, Template):
        return template
    found: Template | TemplateFunction = TEMPLATES.get(template)
    if isinstance(found, Template) or callable(found):
        return found
    raise UsageError(
        f"template {template!r}: must be a Template or a function (question, task, tokenizer), and is a "
        f"{type(found).__name__}"
    )


def check(template: str | Template) -> None:
    """Raises ``UsageError`` where ``find`` would, without a tokenizer; the usual one is there in any case."""
    if template != AUTO:
        find(template)


def resolved(template: str | Template, tokenizer: Any) -> str | Template:
    """``template``, but for "auto" the one that is usual for this tokenizer."""
    if template != AUTO:
        return template
    return CHAT if has_chat_template(tokenizer) else TEXT


def label(template: str | Template) -> str:
    """A short name: of a template without one a digest of its settings, "chat-1f0c2a"."""
    if isinstance(template, str):
        return template
    told = json.dumps(template.model_dump(mode="json"), sort_keys=True)
    return f"{template.kind}-{hashlib.blake2b(told.encode(), digest_size=3).hexdigest()}"


def stops(template: str | Template, tokenizer: Any) -> tuple[str, ...]:
    """The strings that end a response under this template."""
    found = find(resolved(template, tokenizer))
    return found.stop if isinstance(found, Template) else ()


def render(question: Question, task: Task, template: str | Template, tokenizer: Any) -> str:
    """The prompt that a model continues, for ``question`` under the template.

    Raises:
        UsageError: no template of this name.
        TaskError: a template of kind "chat" for a tokenizer without a chat template, or one that the
            tokenizer's chat template refuses; examples that are not there or have no answers.
    """
    named = resolved(template, tokenizer)
    found = find(named)
    if not isinstance(found, Template):
        return _called(found, question, task, tokenizer, label(named))
    shown = [each for each in _examples(found) if each[1].text != question.text]
    if found.kind == "text":
        return _text(found, question, task, shown)
    return _chat(found, question, task, shown, tokenizer, label(named))


def example_questions(template: str | Template) -> list[Question]:
    """The questions that every prompt shows with their answers."""
    found = find(template) if template != AUTO else None
    return [question for _, question in _examples(found)] if isinstance(found, Template) else []


def check_examples(task: Task, questions: Iterable[Question], template: str | Template) -> None:
    """Refuses a template that shows answers of the benchmark that it asks.

    Raises:
        TaskError: says how many of the benchmark's questions are among the examples.
    """
    shown = {question.text for question in example_questions(template)}
    own = [question.id for question in questions if question.text in shown] if shown else []
    if own:
        raise TaskError(
            f"template.examples: {len(own)} of its questions are asked by {task.name} itself (the first is "
            f"{own[0]!r}); take examples from another split"
        )


def has_chat_template(tokenizer: Any) -> bool:
    return bool(getattr(tokenizer, "chat_template", None))


def thinks(tokenizer: Any) -> bool:
    """Whether the tokenizer's chat template knows of thinking: by a tag, or by ``enable_thinking``."""
    told = str(getattr(tokenizer, "chat_template", None) or "")
    return any(word in told for word in (THINK_OPENS, THINK_CLOSES, "enable_thinking"))


def opens_thinking(prompt: str) -> bool:
    """Whether a prompt ends with an opened reasoning, so that the response begins inside it."""
    return prompt.rstrip().endswith(THINK_OPENS)


def chat_text(
    template: Template,
    messages: Sequence[dict[str, str]],
    tokenizer: Any,
    name: str,
    begins_answer: bool = True,
) -> str:
    """The messages in the tokenizer's chat template, by default up to where the assistant's turn begins.

    Raises:
        TaskError: the tokenizer has no chat template, or it refuses the messages.
    """
    if not has_chat_template(tokenizer):
        raise TaskError(
            f"template {name!r} needs a tokenizer with a chat template, and this model's has none; "
            "use r1-zero, tags or plain"
        )
    try:
        text: str = tokenizer.apply_chat_template(
            list(messages),
            tokenize=False,
            add_generation_prompt=begins_answer,
            **template.chat_template_kwargs,
        )
    except Exception as error:  # jinja's classes, and whatever a template raises by itself
        raise TaskError(
            f"template {name!r}: the tokenizer's chat template fails: {first_line(error)}"
        ) from None
    return text


def opening(template: Template, prompt: str, tokenizer: Any) -> str:
    """What the response begins with, after ``prompt``; "" where the prompt ends with it already."""
    if template.opens != AUTO:
        there = bool(template.opens.strip()) and prompt.rstrip().endswith(template.opens.strip())
        return "" if there else template.opens
    if template.kind == "text" or template.chat_template_kwargs.get("enable_thinking") is False:
        return ""
    decided = prompt.rstrip().endswith((THINK_OPENS, THINK_CLOSES))
    return THINK if thinks(tokenizer) and not decided else ""


def _called(function: TemplateFunction, question: Question, task: Task, tokenizer: Any, name: str) -> str:
    try:
        prompt = function(question, task, tokenizer)
    except (TaskError, UsageError):
        raise
    except Exception as error:  # whatever somebody's own code raises
        raise TaskError(
            f"template {name!r} fails on question {question.id!r}: {first_line(error)}"
        ) from error
    if not isinstance(prompt, str):
        raise TaskError(f"template {name!r} must return the prompt as text, not {type(prompt).__name__}")
    return prompt


def _text(template: Template, question: Question, task: Task, shown: Sequence[tuple[Task, Question]]) -> str:
    blocks = [] if template.system is None else [template.system]
    blocks += [f"{_asked(template, one, of)} {_answered(template, one, of)}" for of, one in shown]
    return "\n\n".join([*blocks, _asked(template, question, task)]) + opening(template, "", None)


def _chat(
    template: Template,
    question: Question,
    task: Task,
    shown: Sequence[tuple[Task, Question]],
    tokenizer: Any,
    name: str,
) -> str:
    messages = [] if template.system is None else [{"role": "system", "content": template.system}]
    for of, one in shown:
        messages.append({"role": "user", "content": _asked(template, one, of)})
        messages.append({"role": "assistant", "content": _answered(template, one, of)})
    messages.append({"role": "user", "content": _asked(template, question, task)})
    prompt = chat_text(template, messages, tokenizer, name)
    return prompt + opening(template, prompt, tokenizer)


def _format(task: Task) -> str:
    """The usual instruction of the task's grader."""
    return "" if task.grader in DUELS else {"code": FENCED, "judge": FREE}.get(task.grader, BOXED)


def _asked(template: Template, question: Question, task: Task) -> str:
    instruction = template.instruction.replace("{format}", _format(task))
    if "{format}" in template.instruction:
        instruction = instruction.rstrip("\n")  # an empty one leaves its line behind
    return instruction.replace("{question}", question.text)


def _answered(template: Template, example: Question, task: Task) -> str:
    if not example.gold:
        raise TaskError(
            f"template.examples: {template.examples} has no written answers to show (question {example.id!r})"
        )
    boxed = "{format}" in template.instruction and _format(task) == BOXED
    form = template.example_answer or ("\\boxed{{answer}}" if boxed else "{answer}")
    return form.replace("{answer}", example.gold)


def _examples(template: Template) -> Examples:
    return template._draw(template.examples) if template.examples else ()


def token_counts(prompts: Sequence[str], tokenizer: Any) -> list[int]:
    """How many tokens each prompt has, a start token that the tokenizer adds included.

    One that the text begins with is not doubled: engines encode by the same rule.
    """
    start = tokenizer.bos_token
    return [
        len(tokenizer.encode(text, add_special_tokens=not (start is not None and text.startswith(start))))
        for text in prompts
    ]
