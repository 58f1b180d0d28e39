"""Chats for a server that applies its own chat template: no tokenizer is needed here.

Where a prompt is made, a ``ServerTemplate`` stands in for a tokenizer with a chat template. The prompt that
comes of it is the JSON of what the server is asked: {"messages": […]}, with "chat_template_kwargs" where the
template has some.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from evals.base.errors import UsageError


class ServerTemplate:
    """What templates ask of a tokenizer, for one that only the server has."""

    chat_template = "the server's own"
    name_or_path = "the server's own"
    bos_token = None
    eos_token = None

    def apply_chat_template(
        self,
        messages: Sequence[dict[str, str]],
        tokenize: bool = False,
        add_generation_prompt: bool = True,
        **settings: Any,
    ) -> str:
        """The messages, and what the server's template is given besides, as JSON."""
        asked: dict[str, Any] = {"messages": list(messages)}
        if settings:
            asked["chat_template_kwargs"] = settings
        return json.dumps(asked, ensure_ascii=False)


class NoTokenizer:
    """Stands in where a server continues texts and nobody here knows the model's tokenizer."""

    chat_template = None
    name_or_path = "the server's own"
    bos_token = None
    eos_token = None


def chat_of(prompt: str) -> dict[str, Any]:
    """What a prompt of ``ServerTemplate`` asks a server for.

    Raises:
        UsageError: it is another prompt.
    """
    try:
        asked = json.loads(prompt)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list):
        raise UsageError(
            "the template makes a text to be continued, and a chat is asked by messages: take a template of "
            'kind "chat" whose `opens` is empty, or --api completions (api = "completions")'
        )
    return asked
