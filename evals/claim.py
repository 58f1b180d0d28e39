"""key.json: whose samples a folder holds, how many were asked for, and by what they were graded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evals.base import io
from evals.task import TaskError


@dataclass(frozen=True)
class Claim:
    """What key.json says.

    ``record`` is everything that decides a sample, with its digest under "key". Samples were asked for in
    rounds: ``upto`` are the samples a question that there are to be after each. ``graded`` says by which
    golds and tests and by which grader every sample of the folder was graded; None where nothing says.
    ``notes`` are what a reader of the scores should know of the folder's past.
    """

    path: Path
    record: Mapping[str, Any]
    upto: tuple[int, ...]
    graded: Mapping[str, Any] | None
    notes: tuple[str, ...] = ()

    @property
    def rounds(self) -> list[range]:
        """The numbers of the samples that each round adds."""
        return [range(low, high) for low, high in zip((0, *self.upto), self.upto, strict=False)]

    def graded_by(self, graded: Mapping[str, Any], note: str = "") -> Claim:
        """The claim, written, once every sample was graded by ``graded``."""
        known = replace(self, graded=graded, notes=(*self.notes, *([note] if note else [])))
        known.write()
        return known

    def write(self) -> None:
        kept = {"rounds": list(self.upto), "graded": self.graded, "notes": list(self.notes)}
        io.write_json(self.path, {**self.record, **kept})


def claim(folder: Path, record: Mapping[str, Any], k: int, graded: Mapping[str, Any]) -> Claim:
    """Marks the folder as this evaluation's, of ``k`` samples a question; refuses one that is another's.

    A new folder is graded by ``graded``; of one that holds samples the claim says what they were graded by.

    Raises:
        TaskError: it holds samples of another evaluation, or more a question than ``k``.
    """
    path = folder / "key.json"
    if path.exists():
        found = _read(path, record)
        most = found.upto[-1]
        if k < most:
            raise TaskError(
                f"{folder}: holds {most} samples a question, {k} were asked for; name another folder"
            )
        if k == most:
            return found
        found = replace(found, upto=(*found.upto, k))
    elif (folder / "samples.jsonl").exists():
        raise TaskError(f"{folder}: holds samples but no key.json that says of what; name another folder")
    else:
        found = Claim(path, record, (k,), graded)
    found.write()
    return found


def _read(path: Path, record: Mapping[str, Any]) -> Claim:
    try:
        found = json.loads(path.read_bytes())
        same, upto = found["key"] == record["key"], tuple(int(count) for count in found["rounds"])
        if list(upto) != sorted(set(upto)) or min(upto) < 1:
            raise ValueError("no rounds")
        known = Claim(path, record, upto, found.get("graded"), tuple(map(str, found.get("notes") or ())))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TaskError(f"{path}: is not readable; delete the folder or name another one") from None
    if not same:
        other = _difference(found, record)
        raise TaskError(f"{path.parent}: holds samples of another {other}; name another folder")
    return known


def _difference(found: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """The first thing that two keys disagree about, in words."""
    name = next((name for name in record if name != "key" and found.get(name) != record[name]), "version")
    if name == "prompts":
        return "wording of the questions"
    if name == "judge":
        return "judge, or by another prompt"
    if name == "golds":
        return "set of answers that the judge compares with"
    old, new = found.get(name), record.get(name)
    if not isinstance(old, dict) or not isinstance(new, dict):
        return f"{name} ({old} there, {new} now)"
    old, new = {**old, **old.get("sampling", {})}, {**new, **new["sampling"]}
    changed = [key for key in new if key != "sampling" and old.get(key) != new[key]]
    return f"{name} ({'; '.join(f'{key} {old.get(key)!r} there, {new[key]!r} now' for key in changed)})"
