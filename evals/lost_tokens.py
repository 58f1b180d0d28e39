"""Samples whose token ids are lost: they are sampled again, and their token ids with them."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from evals.base import io
from evals.records import numbered_lines, parse_line

logger = logging.getLogger(__name__)


def drop_without_tokens(samples: Path, tokens: Path, present: dict[str, set[int]]) -> None:
    """Takes the samples without a row in ``tokens`` out of ``samples`` and ``present``, with a warning.

    Both files have whole rows only, and ``tokens`` none that ``samples`` lacks. The samples as they were
    stay beside them in samples.without-tokens.jsonl.
    """
    rows = sum(1 for _ in numbered_lines(tokens)) if tokens.exists() else 0
    lost = sum(map(len, present.values())) - rows
    if lost <= 0:
        return
    there: set[tuple[str, int]] = set()
    if tokens.exists():
        there = {
            (row["id"], row["sample"]) for _, line in numbered_lines(tokens) if (row := parse_line(line))
        }
    aside = samples.with_name(f"{samples.stem}.without-tokens{samples.suffix}")
    shutil.copy2(samples, aside)
    logger.warning(
        "%s: the token ids of %d samples are lost: those are sampled again, and kept as %s",
        *(tokens, lost, aside.name),
    )
    kept = []
    for _, line in numbered_lines(samples):
        row = parse_line(line)
        if (row["id"], row["sample"]) in there:
            kept.append(line)
        else:
            present[row["id"]].discard(row["sample"])
    io.write_bytes(samples, kept)
