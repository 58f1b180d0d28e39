"""``task:split[a:b]``: what names a data set, which split of it, and which part of that."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evals.task import TaskError

FILE = re.compile(r".+\.(?:jsonl|json|csv|tsv|parquet)(?:\.gz)?", re.IGNORECASE | re.DOTALL)
"""A file of questions."""
OTHER_FILE = re.compile(r".+\.(?:xlsx?|ods|txt|md|ya?ml|xml|arrow|feather|pkl|zip)", re.IGNORECASE)
"""A file that a user may think of, and that no question is read from."""
HUB, GYM = "hf", "reasoning_gym"
"""What stands before the name of a data set of the hub, and of a task of reasoning-gym."""

_PART = re.compile(r"(?P<rest>.*?)\s*\[(?P<part>[^\[\]]*)\]", re.DOTALL)
_FILE_AND_SPLIT = re.compile(rf"(?P<source>{FILE.pattern})\s*:\s*(?P<split>[^:\[\]/]+)", FILE.flags)
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


@dataclass(frozen=True)
class Spec:
    """A specification taken apart: without a split it is "", where nothing is cut ``part`` is None."""

    source: str
    split: str = ""
    part: slice | None = None


def parse(spec: str) -> Spec:
    """The parts of ``spec``.

    Raises:
        TaskError: it is malformed.
    """
    text = spec.strip()
    cut = _PART.fullmatch(text)
    rest, part = (cut["rest"], _slice(cut["part"], spec)) if cut else (text, None)
    if FILE.fullmatch(rest):
        return Spec(rest, "", part)
    if found := _FILE_AND_SPLIT.fullmatch(rest):
        return Spec(found["source"], found["split"].strip(), part)
    if OTHER_FILE.fullmatch(rest):
        raise TaskError(
            f"{spec!r}: questions are not read from such a file; save it as .csv, .tsv, .jsonl, .json or "
            ".parquet"
        )
    words = [word.strip() for word in rest.split(":")]
    first = words[0]
    named = 2 if first in (HUB, GYM) or first.endswith(".py") or _MODULE.fullmatch(first) else 1
    if not named <= len(words) <= named + 1 or not all(words) or "[" in rest or "]" in rest:
        raise TaskError(
            f"{spec!r} is not a task specification: it must be task, task:split or task:split[a:b]"
        )
    return Spec(":".join(words[:named]), "".join(words[named:]), part)


def written(part: slice) -> str:
    """A part as it is written, always in the same way: ``[:8]``."""
    step = "" if part.step in (None, 1) else f":{part.step}"
    start = None if part.start == 0 and not step else part.start
    ends = ["" if end is None else str(end) for end in (start, part.stop)]
    return f"[{':'.join(ends)}{step}]"


def _slice(text: str, spec: str) -> slice:
    parts = [part.strip() for part in text.split(":")]
    numbers = [part for part in parts if part]
    if not 2 <= len(parts) <= 3 or not all(re.fullmatch(r"[+-]?\d{1,18}", number) for number in numbers):
        raise TaskError(f"{spec!r}: [{text}] is not a slice; it must be [start:stop], for example [-200:]")
    bounds = [int(part) if part else None for part in parts]
    if len(bounds) == 3 and bounds[2] == 0:
        raise TaskError(f"{spec!r}: a slice's step must not be 0")
    return slice(*bounds)
