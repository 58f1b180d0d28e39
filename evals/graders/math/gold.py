r"""What a gold answer says, as data sets have it: an answer, a whole solution, a lettered option."""

from __future__ import annotations

import re
from functools import lru_cache

from evals.graders.extract import extract

_STATES = re.compile(r"\\boxed|\\fbox|\banswer\b", re.IGNORECASE)
_FINAL_LINE = re.compile(r"####[ \t]*([^\n]+)")
_LETTERED = re.compile(
    r"(?:\\(?:text|textbf|mathrm|mathbf)\s?\{\s?)?(?:\(([A-J])\)|([A-J])[).:])\s?"
    r"(?:\}|\s|\\[ ,;:!]|\\q?quad(?![A-Za-z])|~)+(\S.*)",
    re.DOTALL,
)
# "(C) + 1" and "\\text{(C)}+1" compute with a letter; of "(C) -1" the text is a number.
_OPERATOR = re.compile(r"\}[+*/^=-]|.(?:[*/^=]|[+-]\s)", re.DOTALL)


@lru_cache(maxsize=16384)
def stated(gold: str) -> str:
    r"""The answer within a gold that is a whole solution: after ``####``, in a box, "the answer is …"."""
    lines = _FINAL_LINE.findall(gold)
    if lines:
        return str(lines[-1]).strip()
    if _STATES.search(gold):
        return extract(gold).answer or gold
    return gold


def lettered(text: str) -> tuple[str, str] | None:
    """The letter and the text of "(B) 12" or "B. 12"; None for everything else."""
    match = _LETTERED.fullmatch(text.strip().strip("$").strip())
    if not match or _OPERATOR.match(match.string, match.start(3) - 1):
        return None
    return match[1] or match[2], match[3].strip()
