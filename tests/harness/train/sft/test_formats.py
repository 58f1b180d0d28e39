"""Rows as the field stores them, told apart by their columns and refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from harness.train.sft.formats import Asked, Chat, Example, Plain, question, read

ASKS, SAYS = {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}
SYSTEM = {"role": "system", "content": "Be brief."}
TOOL = {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"messages": [SYSTEM, ASKS, SAYS]}, Chat((SYSTEM, ASKS, SAYS))),
        ({"messages": [{**ASKS, "name": None}, SAYS], "text": None}, Chat((ASKS, SAYS))),  # from Parquet
        ({"messages": [ASKS, SAYS], "tools": [TOOL]}, Chat((ASKS, SAYS), tools=(TOOL,))),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "1+1?"}]}, SAYS]},
            Chat((ASKS, SAYS)),
        ),
        (
            {"conversations": [{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}]},
            Chat((ASKS, SAYS)),
        ),
        (
            {"system": "Be brief.", "conversations": [{"from": "human", "value": "1+1?"}, SAYS | {
                "from": "gpt", "value": "2"}]},
            Chat((SYSTEM, ASKS, SAYS)),
        ),
        ({"conversations": [ASKS, SAYS]}, Chat((ASKS, SAYS))),
        ({"prompt": [ASKS, SAYS, ASKS], "completion": [SAYS]}, Chat((ASKS, SAYS, ASKS, SAYS), 3)),
        ({"prompt": "1+1=", "completion": "2"}, Example("1+1=", "2")),
        ({"prompt": "1+1=", "response": "2"}, Example("1+1=", "2")),
        ({"task": "aime24", "id": 7, "question": "1+1?", "response": "2"}, Asked("aime24", "7", "1+1?", "2")),
        ({"text": "one"}, Plain("one")),
    ],
)  # fmt: skip
def test_shapes(row: dict[str, Any], found: object) -> None:
    assert read(row) == found


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": []}, '"messages" must be a list of messages'),
        ({"messages": [ASKS]}, '"messages" has no message of the assistant'),
        ({"messages": [ASKS, "2"]}, r"messages\[1\] must be an object"),
        ({"messages": [ASKS, {"role": "gpt", "content": "2"}]}, r"messages\[1\].role must be one of system"),
        ({"messages": [ASKS, {"role": "assistant"}]}, r"messages\[1\].content must be text"),
        ({"messages": [ASKS, {"role": "assistant", "content": " "}]}, r"messages\[1\].content must be text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}, SAYS]}, "parts that are not text"),
        ({"conversations": [{"from": "narrator", "value": "x"}]}, r"conversations\[0\].from must be one of"),
        ({"prompt": [ASKS], "completion": "2"}, '"completion" must be a list of messages'),
        ({"prompt": [ASKS], "completion": [ASKS]}, '"completion" has no message of the assistant'),
        ({"prompt": "x"}, '"response" must be text'),
        ({"messages": [ASKS, {"role": "assistant", "content": "\ud800"}]}, "half a character"),
        ({"instruction": "x", "output": "y"}, 'needs "messages", "conversations", "prompt" with'),
    ],
)
def test_what_is_of_no_shape_is_refused(row: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(row)
    assert question(row) is None


def test_what_is_asked() -> None:
    assert question({"messages": [SYSTEM, ASKS, SAYS]}) == "1+1?"
    assert question({"prompt": "1+1=", "response": "2"}) == "1+1="
    assert question({"text": "1+1=2"}) is None
