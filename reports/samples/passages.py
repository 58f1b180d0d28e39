"""Passages in which a policy reflects, or puts a wrong step right, from the samples that training kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.base.text import printable
from reports.cells import Cell, Column, Table
from reports.study import Study, Training

AROUND = 90
"""Characters that are shown before and after the marker."""
RUNS, EACH = 4, 6
"""Runs that are shown, and passages of each, spread over its training."""


@dataclass(frozen=True)
class Passage:
    """``sign``: the marker word, or "mended step"."""

    step: int
    sign: str
    text: str
    correct: bool | None


def table(study: Study) -> Table | None:
    """A row per passage; None where no run's samples have any."""
    runs = [*study.in_turn(), *(run for sweep in study.sweeps for run in sweep.fresh)]
    rows = []
    for run in runs:
        found = _spread(list(passages(run.folder / "samples.jsonl")))
        rows += [_row(run, passage) for passage in found]
        if len({row[0].text for row in rows}) == RUNS:
            break
    if not rows:
        return None
    return Table(
        key="passages",
        title="Passages that reflect",
        caption=f"Up to {EACH} a run, spread over training, from the completions that it kept: around a "
        "reflection marker (harness/train/grpo/reflection.py lists them), or around a wrong step of "
        "arithmetic that a later one puts right. A marker shows a style; whether the answer was right stands "
        "beside it.",
        columns=(
            Column("run", "Run", "text", filter=True),
            Column("step", "Step"),
            Column("sign", "Sign", "text", filter=True),
            Column("answer", "Answer", "text"),
            Column("passage", "Passage", "text", prose=True),
        ),
        rows=tuple(rows),
    )


def passages(path: Path) -> Iterator[Passage]:
    """The passages of a run's samples.jsonl, one a completion, in order; damaged lines are passed over."""
    if not path.is_file():
        return
    with path.open("rb") as lines:
        for line in lines:
            try:
                row = json.loads(line)
                found = _passage(row, row["response"])
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if found is not None:
                yield found


def _passage(row: dict[str, Any], text: str) -> Passage | None:
    from harness.train.grpo.reflection import (  # with all rewards: seconds that few reports need
        PATTERN,
        corrections,
    )

    mended = corrections(text).mended > 0
    marker = PATTERN.search(text)
    if marker is None and not mended:
        return None
    # Two steps make a mended one; the end of the text has the later of them, or what came of it.
    start, end = marker.span() if marker else (len(text), len(text))
    shown = text[max(0, start - AROUND) : end + AROUND]
    cut = ("… " if start > AROUND else "") + shown + (" …" if end + AROUND < len(text) else "")
    accuracy = (row.get("rewards") or {}).get("accuracy")
    sign = "mended step" if mended else marker.group(0).lower() if marker else ""
    return Passage(int(row["step"]), sign, " ".join(cut.split()), None if accuracy is None else accuracy > 0)


def _spread(found: list[Passage]) -> list[Passage]:
    if len(found) <= EACH:
        return found
    return [found[round(place * (len(found) - 1) / (EACH - 1))] for place in range(EACH)]


def _row(run: Training, passage: Passage) -> tuple[Cell, ...]:
    answer = {True: "right", False: "wrong", None: ""}[passage.correct]
    return (
        Cell(printable(run.label)),
        Cell(str(passage.step), passage.step),
        Cell(printable(passage.sign)),
        Cell(answer),
        Cell(printable(passage.text)),
    )
