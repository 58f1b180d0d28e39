"""Conversations through a model's own chat template, with the characters that its policy would have written.

A template that marks them ({% generation %} … {% endgeneration %}) is taken at its word. Under any other, the
text up to an assistant's turn (what the policy would be asked with) must begin the text with that turn in it,
and that the text of the whole conversation: then the turn is what lies between. A template that rewrites
earlier turns (Qwen3 and DeepSeek-R1 drop their reasoning) fails this, and nothing is learned at a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jinja2.exceptions import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from evals import templates
from evals.base.errors import first_line
from evals.rollout import END_THINK, THINK
from evals.templates import AUTO, Template
from harness.train.sft.formats import Chat, Example, Message

_render_marked: Any = render_jinja_template  # its annotation tells of a single text
GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True)
class Marked:
    """A text and its learned parts: pairs of character positions, the second one behind the part."""

    text: str
    learned: tuple[tuple[int, int], ...]


def mark(
    chat: Chat, tokenizer: Any, learn: Literal["all", "last"], template: str | Template = AUTO
) -> Marked | Example:
    """The conversation as the model sees it.

    A ``template`` of kind "chat" gives its system message, where the conversation has none, and what the
    tokenizer's chat template is told besides; what it asks of questions is not asked here.

    ``learn`` = "all" learns every turn of the assistant from ``chat.first`` on; "last" the last one, with
    what follows it left out: behind the prompt that the policy would be asked with, as the template writes
    it, or its bare content where the template does not keep to that prompt.

    Raises:
        ValueError: the tokenizer has no chat template, or one that refuses or rewrites the conversation.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError("has messages, and the model's tokenizer has no chat template to write them with")
    how = templates.find(templates.resolved(template, tokenizer))
    how = how if isinstance(how, Template) and how.kind == "chat" else Template()
    chat = _with_system(chat, how.system)
    turns = [i for i, message in enumerate(chat.messages) if message["role"] == "assistant"]
    render = _Render(tokenizer, chat, how.chat_template_kwargs)
    if learn == "last":
        return _last(chat.messages[: turns[-1] + 1], render)
    wanted = [turn for turn in turns if turn >= chat.first]
    if GENERATION.search(str(tokenizer.chat_template)):
        return _said_by_template(render, len(turns), len(wanted))
    whole = render(chat.messages)
    return Marked(whole, tuple(_turn(chat.messages, turn, whole, render) for turn in wanted))


def _with_system(chat: Chat, system: str | None) -> Chat:
    if system is None or chat.messages[0]["role"] in ("system", "developer"):
        return chat
    return replace(
        chat, messages=({"role": "system", "content": system}, *chat.messages), first=chat.first + 1
    )


class _Render:
    """A conversation's messages as text; ``told``: what the chat template is told besides."""

    def __init__(self, tokenizer: Any, chat: Chat, told: Mapping[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._told = told
        self._tools = [dict(tool) for tool in chat.tools] or None
        self.messages = chat.messages

    def __call__(self, messages: Sequence[Message], asks: bool = False) -> str:
        """``asks``: with the beginning of the assistant's turn, as the policy is asked."""
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    [dict(message) for message in messages],
                    tools=self._tools,
                    tokenize=False,
                    add_generation_prompt=asks,
                    **self._told,
                )
            )
        except (TemplateError, TypeError, IndexError, KeyError) as error:
            raise ValueError(f"the model's chat template refuses it: {first_line(error)}") from None

    def spans(self) -> tuple[str, list[tuple[int, int]]]:
        """The text, and what the template says the assistant has written of it."""
        try:
            texts, spans = _render_marked(
                [[dict(message) for message in self.messages]],
                tools=self._tools,
                chat_template=self._tokenizer.chat_template,
                return_assistant_tokens_mask=True,
                **{**self._tokenizer.special_tokens_map, **self._told},
            )
        except (TemplateError, TypeError, IndexError, KeyError) as error:
            raise ValueError(f"the model's chat template refuses it: {first_line(error)}") from None
        return texts[0], [(int(start), int(end)) for start, end in spans[0]]


def _said_by_template(render: _Render, turns: int, wanted: int) -> Marked:
    text, spans = render.spans()
    if len(spans) != turns:
        raise ValueError(
            f"the model's chat template marks {len(spans)} parts as the assistant's, which has {turns} turns"
        )
    return Marked(text, tuple(spans[turns - wanted :]))


def _turn(messages: Sequence[Message], place: int, whole: str, render: _Render) -> tuple[int, int]:
    asked, answered = render(messages[:place], asks=True), render(messages[: place + 1])
    if not (answered.startswith(asked) and whole.startswith(answered)):
        raise ValueError(
            f"the model's chat template does not keep message {place + 1} as the policy would write it (it "
            "rewrites earlier turns, or begins the reasoning itself): "
            'learn = "last" learns the last turn alone'
        )
    return len(asked), len(answered)


def _last(messages: Sequence[Message], render: _Render) -> Marked | Example:
    asked, answered = render(messages[:-1], asks=True), render(messages)
    if answered.startswith(asked):
        return Marked(answered, ((len(asked), len(answered)),))
    return opened(asked, str(messages[-1]["content"]))


def opened(prompt: str, response: str) -> Example:
    """The example without a second opening tag, where the prompt ends with the first.

    Raises:
        ValueError: the prompt closes the reasoning already, and the response reasons.
    """
    if prompt.rstrip().endswith(THINK):
        response = response.lstrip().removeprefix(THINK).lstrip()
    if prompt.rstrip().endswith(END_THINK) and THINK in response:
        raise ValueError(
            f"reasons in {THINK}, and the prompt closes the reasoning before the response begins "
            "(enable_thinking = false)"
        )
    return Example(prompt, response)
