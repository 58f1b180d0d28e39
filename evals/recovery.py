"""Mends samples.jsonl and tokens.jsonl after a kill or a damaged disk, and says what they hold."""

from __future__ import annotations

import logging
import shutil
from itertools import count
from pathlib import Path

from evals.base import io
from evals.records import numbered_lines, parse_line, parse_sample

logger = logging.getLogger(__name__)

Present = dict[str, set[int]]
"""The numbers of the samples that are there, by question."""


def recover_samples(path: Path, ids: set[str], k: int) -> Present:
    """Which samples ``path`` holds, after mending what a kill or a damaged disk did to it.

    A last line without its end was cut short by a kill: it goes. Any other line that is not a sample of this
    evaluation is a fault worth telling: the file is set aside as samples.corrupt-N.jsonl with a warning,
    and the good lines stay.
    """
    present: Present = {question_id: set() for question_id in ids}
    if not path.exists():
        return present
    faults: dict[int, str] = {}
    torn = 0
    for number, line in numbered_lines(path):
        if not line.endswith(b"\n"):
            torn = number
            continue
        try:
            sample = parse_sample(parse_line(line))
        except ValueError as error:
            faults[number] = str(error)
            continue
        if sample.id not in present or sample.sample >= k:
            faults[number] = f"is sample {sample.sample} of {sample.id!r}, which was not asked for"
        elif sample.sample in present[sample.id]:
            faults[number] = f"repeats sample {sample.sample} of {sample.id!r}"
        else:
            present[sample.id].add(sample.sample)
    if faults:
        aside = _set_aside(path)
        first = min(faults)
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        logger.warning(
            "%s, line %d %s%s: the file is kept as %s, its good rows go on, the rest is sampled again",
            *(path, first, faults[first], more, aside.name),
        )
    if faults or torn:
        bad = {*faults, torn}
        io.write_bytes(path, (line for number, line in numbered_lines(path) if number not in bad))
    return present


def _set_aside(path: Path) -> Path:
    """A copy of ``path`` under the first free name samples.corrupt-N.jsonl."""
    aside = next(
        candidate
        for number in count(1)
        if not (candidate := path.with_name(f"{path.stem}.corrupt-{number}{path.suffix}")).exists()
    )
    shutil.copy2(path, aside)
    return aside


def recover_tokens(path: Path, present: Present) -> None:
    """Drops the token rows whose samples did not reach samples.jsonl: they will be written again."""
    if not path.exists():
        return
    seen: set[tuple[str, int]] = set()
    bad: set[int] = set()
    for number, line in numbered_lines(path):
        try:
            row = parse_line(line)
            place = (row["id"], row["sample"])
            good = line.endswith(b"\n") and place not in seen and place[1] in present.get(place[0], ())
        except (ValueError, KeyError, TypeError):
            good = False
        if good:
            seen.add(place)
        else:
            bad.add(number)
    if bad:
        io.write_bytes(path, (line for number, line in numbered_lines(path) if number not in bad))
