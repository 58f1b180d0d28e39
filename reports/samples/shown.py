"""A sample ready to be shown, on a report's page and in the view: the row of samples.jsonl, made readable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evals.base import io
from evals.base.text import printable
from evals.graders.reading import split_reasoning, without_tags
from evals.task import Question


@dataclass(frozen=True)
class Shown:
    """A sample, graded or of training. ``read`` says which rule found the answer, or what its tests or its
    judge said; ``tests`` are those of a program.

    ``rewards`` are (function, value) of a completion of training. ``reasoning`` is what stood inside <think>,
    ``reply`` the rest. ``prompt`` is the question where the text that the model continued is not recorded
    (``prompt_known``).
    """

    id: str
    number: int
    step: int | None
    status: str
    truncated: bool
    tokens: int | None
    rewards: tuple[tuple[str, str], ...]
    prompt: str
    prompt_known: bool
    gold: str
    answer: str | None
    read: str
    tests: str
    reasoning: str
    reply: str


def shown(row: Mapping[str, Any], asked: Question | None, longest: int) -> Shown:
    """A sample with its question as far as it is known, no text of more than ``longest`` characters."""

    def text(value: object) -> str:
        return shorten(printable(str(value)), longest)

    prompt, answer, step = row.get("prompt"), row.get("answer"), row.get("step")
    reasoning, reply = reasoning_and_reply(str(row.get("response") or ""))
    return Shown(
        id=printable(str(row["id"])),
        number=int(io.number(row.get("sample")) or 0),
        step=step if isinstance(step, int) else None,
        status=status_of(row),
        truncated=row.get("finish_reason") == "length",
        tokens=row.get("tokens") if isinstance(row.get("tokens"), int) else None,
        rewards=_rewards(row),
        prompt=text(prompt if isinstance(prompt, str) else asked.text if asked else ""),
        prompt_known=isinstance(prompt, str),
        gold=text(asked.gold if asked else ""),
        answer=None if answer is None else text(answer),
        read=text(row.get("detail") or ""),
        tests=text(tests_of(asked)) if asked else "",
        reasoning=text(reasoning).strip(),
        reply=text(reply).strip(),
    )


def status_of(row: Mapping[str, Any]) -> str:
    """The verdict on a sample; of a completion of training whether its accuracy was rewarded, or ""."""
    if "status" in row or "correct" in row:
        return str(row.get("status") or ("correct" if row.get("correct") else "wrong"))
    rewards = row.get("rewards")
    accuracy = io.number(rewards.get("accuracy")) if isinstance(rewards, dict) else None
    return "" if accuracy is None else "correct" if accuracy > 0 else "wrong"


def tests_of(asked: Question) -> str:
    """The tests that decide on a program; "" where none do."""
    tests = asked.info.get("tests")
    return tests if isinstance(tests, str) else ""


def _rewards(row: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    parts = row.get("rewards")
    told = [(str(name), io.number(value)) for name, value in parts.items()] if isinstance(parts, dict) else []
    told += [(name, io.number(row.get(name))) for name in ("reward", "advantage") if name in row]
    return tuple(
        (printable(name), "no score" if value is None else f"{value:.4g}".replace("-", "−"))
        for name, value in told
    )


def reasoning_and_reply(response: str) -> tuple[str, str]:
    """What the graders take for reasoning, without its tags, and what follows; all where it never ends."""
    reasoning, said = split_reasoning(response)
    if said is None or not response.endswith(said):
        reasoning = response  # nothing of what was written is left out
    return without_tags(reasoning).lstrip("\n"), said or ""


def shorten(text: str, longest: int) -> str:
    """``text``, or its first two thirds and last third of ``longest`` characters around what was cut."""
    if len(text) <= longest:
        return text
    head, tail = longest * 2 // 3, longest // 3
    return f"{text[:head]}\n⟦… {len(text) - head - tail:,} characters left out …⟧\n{text[-tail:]}"
