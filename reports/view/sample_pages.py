"""The pages of samples: a list of them, and one in full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from evals.asked import known_questions, read_asked
from evals.base.text import printable
from evals.task import Question
from reports.cells import finite
from reports.samples.shown import Shown, reasoning_and_reply, shorten, shown, status_of
from reports.view.links import Links
from reports.view.samples import Found

LONGEST = 400_000
"""Characters of a prompt, a response or tests that a page shows."""
GLANCE = 160
"""Characters of a response in a list."""


@dataclass(frozen=True)
class Listed:
    """A sample in a list."""

    id: str
    model: str
    status: str
    truncated: bool
    number: str
    figures: tuple[str, ...]
    answer: str
    glance: str
    href: str
    full: Shown | None = None


def listed(found: Found, links: Links, back: Mapping[str, str]) -> Listed:
    """A sample as a line of a list; a copy's lines hold it in full."""
    row, source = found.row, found.source
    _, reply = reasoning_and_reply(str(row.get("response") or ""))
    words = " ".join((reply or str(row.get("response") or "")).split())
    answer = row.get("answer")
    return Listed(
        id=printable(str(row["id"])),
        model=printable(source.model),
        status=status_of(row),
        truncated=row.get("finish_reason") == "length",
        number=_number(row),
        figures=_glance_figures(row),
        answer="" if answer is None else shorten(printable(str(answer)), 80),
        glance=printable(words[:GLANCE]) + (" …" if len(words) > GLANCE else ""),
        href=links.sample(source.key, found.start, back),
        full=None if links.served else in_full(found),
    )


def _number(row: Mapping[str, Any]) -> str:
    if "step" in row:
        return f"step {row['step']}"
    return f"sample {row.get('sample', 0)}"


def _glance_figures(row: Mapping[str, Any]) -> tuple[str, ...]:
    figures = []
    if finite(row.get("reward")):
        figures.append(f"reward {row['reward']:.3g}")
    if finite(row.get("advantage")):
        figures.append(f"advantage {row['advantage']:+.2f}".replace("-", "−"))
    if finite(row.get("tokens")):
        figures.append(f"{row['tokens']:,} tokens")
    return tuple(figures)


def in_full(found: Found) -> Shown:
    """A sample in full, with its question as far as it is known."""
    row, folder = found.row, found.source.path.parent
    asked = None if found.source.training else _question(folder, found.source.benchmark, str(row["id"]))
    return shown(row, asked, LONGEST)


def facts(found: Found) -> tuple[tuple[str, str], ...]:
    """The line under the headline of a sample's page."""
    row, source = found.row, found.source
    duel = row.get("duel")
    told = [
        ("Model", "" if source.training else source.model),
        ("Benchmark", source.benchmark),
        ("Sample", str(row.get("sample", "")) if "sample" in row else ""),
        ("Step", str(row.get("step", ""))),
        ("Tokens", f"{row['tokens']:,}" if finite(row.get("tokens")) else ""),
        ("Ended by", {"length": "the length limit", "stop": "itself"}.get(str(row.get("finish_reason")), "")),
        ("Seconds", f"{row['seconds']:.2f}" if finite(row.get("seconds")) else ""),
        ("Duel", f"{duel[0]:g} of {duel[1]:g} points" if isinstance(duel, list) and len(duel) == 3 else ""),
    ]
    return tuple((name, printable(value)) for name, value in told if value)


def _question(folder: Path, benchmark: str, key: str) -> Question | None:
    """The question as the evaluation wrote it down, or as the built-in task has it."""
    asked = folder / "questions.jsonl"
    if asked.is_file():
        return _written(folder, asked.stat().st_mtime_ns).get(key)
    return _built_in(benchmark).get(key)


@lru_cache(maxsize=8)
def _written(folder: Path, _changed: int) -> dict[str, Question]:
    return read_asked(folder)


@lru_cache(maxsize=8)
def _built_in(benchmark: str) -> dict[str, Question]:
    return known_questions(benchmark)
