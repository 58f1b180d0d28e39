"""Answers that are text: what of a response is its final text, and when two texts are the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from evals.graders.base import Response, numbered
from evals.graders.extract import Extraction, as_shown, candidates
from evals.graders.reading import read

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)


def final_text(response: Response, lines: int = 1) -> Extraction:
    """The text that a response gives as its answer.

    That is what the last ``<answer>…</answer>`` holds, else a box or an announcement ("the answer is …", as
    for any grader), else the last ``lines`` lines that are not blank. What the length limit cut has no last
    line.
    """
    reading = read(response.text, response.truncated, response.unclosed_answers)
    if reading.said is None:
        return Extraction(None, "cut inside <think>")
    said = as_shown(reading.said)
    cut = response.truncated and not reading.ended
    tagged = _TAGGED.findall(said)
    if tagged and tagged[-1].strip():
        return Extraction(tagged[-1].strip(), "<answer>")
    for found in candidates(said, cut):
        return found
    if cut:
        return Extraction(None, "cut before a final answer")
    written = [line.strip() for line in said.splitlines() if line.strip()]
    return Extraction("\n".join(written[-lines:]), "last line") if written else Extraction(None, "no answer")


def spelled(text: str) -> str:
    """The text as it is compared: NFKC, and white space of any kind and length is one space."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def spelling_classes(answers: Sequence[str | None]) -> list[int | None]:
    """The vote classes of answers that are the same where they are spelled the same."""
    return numbered(None if each is None else spelled(each) for each in answers)
