"""What an earlier call left in the folder of a task: whose it is, and what has changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.base import io
from evals.engine import ScoringEngine
from evals.lm_eval.chat import Chat
from evals.lm_eval.names import PREFIX
from evals.lm_eval.samples import Document
from evals.records import numbered_lines, parse_line
from evals.task import TaskError


def claim(
    folder: Path,
    engine: ScoringEngine,
    name: str,
    seed: int,
    chat: Chat | None,
    max_tokens: int | None,
) -> str:
    """Marks the folder as this evaluation's and returns its key; refuses one that is another's.

    What a task asks and how it is graded is in no key: replies are kept by what was asked, and graded anew.
    """
    asked = {
        "benchmark": PREFIX + name,
        "model": engine.model_hash,
        "engine": engine.name,
        "seed": seed,
    }
    if chat is not None:
        asked["template"] = chat.template.model_dump(mode="json")
    if max_tokens is not None:
        asked["max_tokens"] = max_tokens
    key = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=16).hexdigest()
    path = folder / "key.json"
    if not path.exists():
        if (folder / "lm_eval.json").exists():
            raise TaskError(f"{folder}: holds results but no key.json that says of what; name another folder")
        io.write_json(path, {"key": key, **asked})
        return key
    try:
        same = json.loads(path.read_bytes())["key"] == key
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TaskError(f"{path}: is not readable; delete the folder or name another one") from None
    if not same:
        raise TaskError(
            f"{folder}: holds results of another model, task, template, max_tokens or seed; name another "
            "folder"
        )
    return key


@dataclass(frozen=True)
class Earlier:
    """What the last finished call left: every document's metrics, and what was noted until then."""

    metrics: Mapping[str, Any]
    notes: Sequence[str]


def read_earlier(folder: Path) -> Earlier | None:
    """What the last finished call left; None where none has finished.

    Raises:
        TaskError: the files are damaged.
    """
    path, rows = folder / "lm_eval.json", folder / "samples.jsonl"
    if not path.exists() or not rows.exists():
        return None
    try:
        metrics = {
            row["id"]: row["metrics"] for _, line in numbered_lines(rows) for row in [parse_line(line)]
        }
        return Earlier(metrics, list(json.loads(path.read_bytes())["notes"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TaskError(f"{folder}: is not readable; delete the folder or name another one") from None


def notes_on(before: Mapping[str, Any], rows: Sequence[Document], asked: int) -> list[str]:
    """What is not as the last finished call left it, a sentence each."""
    changed = sum(before.get(each.row["id"]) != each.row["metrics"] for each in rows)
    gone = len(before.keys() - {each.row["id"] for each in rows})
    notes = []
    if asked:
        notes.append(
            f"The task's data or prompts have changed: {asked} requests were asked that were not before."
        )
    if changed or gone:
        ending = f", {gone} are no longer there." if gone else "."
        notes.append(
            f"Graded again: {changed} of {len(rows)} documents have other metrics than before{ending}"
        )
    return notes
