"""The shapes in which the field stores what is learned from, recognised by their columns.

messages              {"messages": [{"role", "content"}, …]}, with "tools" where there are some (OpenAI, TRL)
ShareGPT              {"conversations": [{"from", "value"}, …]}, with "system" where there is one
prompt, completion    both text, or both lists of messages (TRL): the completion alone is learned
prompt, response      a whole prompt and what follows it
text                  {"text"}: all of it is learned
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = Mapping[str, Any]
Row = Mapping[str, Any]

HALF = re.compile("[\ud800-\udfff]")
SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
}
"""ShareGPT's names of who speaks -> roles."""
ROLES = ("system", "developer", "user", "assistant", "tool")
COLUMNS = (
    '"messages", "conversations", "prompt" with "completion" or "response", '
    '"task" with "question" and "response", or "text"'
)


@dataclass(frozen=True)
class Example:
    """One response to one prompt, as text: tokenizers of teacher and student may differ."""

    prompt: str
    response: str


@dataclass(frozen=True)
class Chat:
    """Messages for the model's own chat template; of those from ``first`` on, the assistant's are learned."""

    messages: tuple[Message, ...]
    first: int = 0
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Asked:
    """A response to a question of a task, which the policy's own template puts."""

    task: str
    id: str
    question: str
    response: str


@dataclass(frozen=True)
class Plain:
    """A text of which everything is learned."""

    text: str


def read(row: Row) -> Example | Chat | Asked | Plain:
    """What a row says.

    Raises:
        ValueError: its columns, or what they hold, are of none of the shapes.
    """
    _check_characters(row)
    if row.get("messages") is not None:
        return Chat(_messages(row["messages"], "messages"), tools=_tools(row))
    if row.get("conversations") is not None:
        return Chat(_turns(row), tools=_tools(row))
    if isinstance(row.get("prompt"), list):
        prompt = _messages(row["prompt"], "prompt", learned=False)
        return Chat((*prompt, *_messages(row.get("completion"), "completion")), len(prompt), _tools(row))
    if isinstance(row.get("prompt"), str):
        return Example(row["prompt"], _text(row, "completion" if "completion" in row else "response"))
    if isinstance(row.get("question"), str) and isinstance(row.get("task"), str):
        return Asked(row["task"], str(row.get("id", "")), row["question"], _text(row, "response"))
    if "text" in row:
        return Plain(_text(row, "text"))
    raise ValueError(f"needs {COLUMNS}")


def question(row: Row) -> str | None:
    """What is asked in it, to be compared with benchmarks; None where it cannot be read."""
    try:
        found = read(row)
    except ValueError:
        return None
    match found:
        case Example():
            return found.prompt
        case Asked():
            return found.question
        case Chat():
            users = [message["content"] for message in found.messages if message["role"] == "user"]
            return next((content for content in users if isinstance(content, str)), None)
        case Plain():
            return None


def text_of(row: Row) -> str:
    """The row's "text".

    Raises:
        ValueError: it has none, or a blank one.
    """
    _check_characters(row)
    return _text(row, "text")


def _text(row: Row, key: str) -> str:
    found = row.get(key)
    if not isinstance(found, str) or not found.strip():
        raise ValueError(f'"{key}" must be text that is not blank')
    return found


def _messages(found: object, key: str, learned: bool = True) -> tuple[Message, ...]:
    if not isinstance(found, list) or not found:
        raise ValueError(f'"{key}" must be a list of messages, each with "role" and "content"')
    messages = tuple(_message(each, f"{key}[{place}]") for place, each in enumerate(found))
    if learned and not any(message["role"] == "assistant" for message in messages):
        raise ValueError(f'"{key}" has no message of the assistant, so nothing to learn')
    return messages


def _message(found: object, where: str) -> Message:
    if not isinstance(found, Mapping):
        raise ValueError(f'{where} must be an object with "role" and "content"')
    message = {key: value for key, value in found.items() if value is not None}  # Parquet fills columns up
    if message.get("role") not in ROLES:
        raise ValueError(f"{where}.role must be one of {', '.join(ROLES)}, got {message.get('role')!r}")
    content = message.get("content")
    if isinstance(content, list):
        content = message["content"] = _joined(content, where)
    if content is None and message.get("tool_calls"):
        content = message["content"] = ""
    if not isinstance(content, str):
        raise ValueError(f"{where}.content must be text")
    if message["role"] == "assistant" and not (content.strip() or message.get("tool_calls")):
        raise ValueError(f"{where}.content must be text that is not blank")
    return message


def _joined(parts: Sequence[object], where: str) -> str:
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
    if len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{where}.content has parts that are not text")
    return "".join(str(text) for text in texts)


def _turns(row: Row) -> tuple[Message, ...]:
    turns = row["conversations"]
    if not isinstance(turns, list) or not turns:
        raise ValueError('"conversations" must be a list of turns, each with "from" and "value"')
    if all(isinstance(turn, Mapping) and "role" in turn for turn in turns):
        return _messages(turns, "conversations")
    messages: list[object] = []
    for place, turn in enumerate(turns):
        speaker = turn.get("from") if isinstance(turn, Mapping) else None
        if speaker not in SPEAKERS:
            raise ValueError(
                f"conversations[{place}].from must be one of {', '.join(SPEAKERS)}, got {speaker!r}"
            )
        messages.append({"role": SPEAKERS[speaker], "content": turn.get("value")})
    if isinstance(row.get("system"), str) and row["system"].strip():
        messages.insert(0, {"role": "system", "content": row["system"]})
    return _messages(messages, "conversations")


def _tools(row: Row) -> tuple[Mapping[str, Any], ...]:
    tools = row.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise ValueError('"tools" must be a list of objects')
    return tuple(tools)


def _check_characters(row: Row) -> None:
    for key, value in row.items():
        if any(HALF.search(text) for text in _strings(value)):
            raise ValueError(f'"{key}" holds half a character (a lone surrogate), which is not text')


def _strings(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case Mapping():
            return [text for inner in value.values() for text in _strings(inner)]
        case list():
            return [text for inner in value for text in _strings(inner)]
        case _:
            return []
