"""OpenAI's batch API, and those that imitate it: an output file, a line for each request by its custom_id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evals.formats.shape import Format, Row, Shape, ending
from evals.task import TaskError


def _recognises(shape: Shape) -> bool:
    return shape.kind == "lines" and shape.has("custom_id", "response")


def _rows(shape: Shape) -> Iterator[Row]:
    for line in shape.lines():
        answer = line["response"]
        if line.get("error") or not answer or answer.get("status_code", 200) != 200:
            raise TaskError(
                f"{shape.path}: the request {line['custom_id']!r} failed, so it has no response to score; "
                "ask it again, or leave its line out"
            )
        body = answer["body"]
        usage = body.get("usage") or {}
        told = list(_responses(body) if "output" in body else _choices(body))
        for number, (text, reason) in enumerate(told):
            yield {
                "id": str(line["custom_id"]),
                "sample": number,
                "response": text,
                "finish_reason": ending(reason),
                "tokens": usage.get("completion_tokens", usage.get("output_tokens"))
                if len(told) == 1
                else None,
                "model": str(body.get("model") or ""),
            }


def _choices(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Text and ending of each choice of chat completions, or of completions."""
    for choice in body["choices"]:
        message = choice.get("message")
        if message is None:
            text = choice["text"]
        else:
            # Servers of open models tell the reasoning apart under either name.
            thought = message.get("reasoning_content") or message.get("reasoning")
            said = _text(message["content"])
            text = f"<think>{thought}</think>{said}" if isinstance(thought, str) else said
        yield text, choice.get("finish_reason")


def _responses(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The one text of the responses endpoint, whose limit is told as incomplete_details."""
    parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
    reason = (body.get("incomplete_details") or {}).get("reason")
    yield _text(parts), "length" if reason == "max_output_tokens" else reason or "stop"


def _text(content: Any) -> str:
    """A message's text, which may be in parts; "" for none."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


FORMAT = Format("OpenAI batch output", _recognises, _rows)
