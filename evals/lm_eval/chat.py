"""How lm-eval's tasks are asked of a model that chats: through the template that our own tasks get.

lm-eval writes the messages (the document, few-shot examples as turns); the tokenizer's chat template, its
settings and the system message are the template's. What opens the response is put behind a prompt that is to
be continued, never before a continuation whose likelihood is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from evals import templates
from evals.templates import THINK_CLOSES, Template


@dataclass(frozen=True)
class Chat:
    """A template of kind "chat", for one tokenizer."""

    name: str
    template: Template
    tokenizer: Any

    @classmethod
    def of(cls, template: str | Template, tokenizer: Any) -> Self | None:
        """None for a template that is no chat: lm-eval's own text is then asked as it stands."""
        named = templates.resolved(template, tokenizer)
        found = templates.find(named)
        if not isinstance(found, Template) or found.kind != "chat":
            return None
        return cls(templates.label(named), found, tokenizer)

    @property
    def settings(self) -> dict[str, Any]:
        """What lm-eval's ``simple_evaluate`` is told."""
        return {"apply_chat_template": True, "system_instruction": self.template.system}

    def text(self, history: Sequence[dict[str, str]], begins_answer: bool) -> str:
        """The messages as the model reads them; ``begins_answer``: up to where its turn begins."""
        return templates.chat_text(self.template, history, self.tokenizer, self.name, begins_answer)

    def opened(self, prompt: str) -> str:
        """The prompt with what opens the response."""
        return prompt + templates.opening(self.template, prompt, self.tokenizer)


def without_thinking(text: str, until: Sequence[str] = ()) -> str:
    """What follows the last closed reasoning, which is what lm-eval's filters are to see; else all of it.

    It ends before the first of ``until``.
    """
    _, closed, answer = text.rpartition(THINK_CLOSES)
    if not closed:
        return text
    answer = answer.lstrip()
    return answer[: min((at for word in until if (at := answer.find(word)) >= 0), default=None)]
