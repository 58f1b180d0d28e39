"""Is the response laid out as R1's template asks?"""

from __future__ import annotations

import re

from evals.rollout import ANSWER, END_ANSWER, END_THINK, THINK, Rollout

LAYOUT = re.compile(rf"\s*{THINK}(.*?){END_THINK}\s*{ANSWER}(.*?){END_ANSWER}\s*", re.DOTALL)


def format(rollout: Rollout) -> float | None:
    """1 for <think>…</think> then <answer>…</answer> and nothing else but white space; otherwise 0.

    Each tag occurs exactly once and neither part is blank, so that there is nothing to be gained by
    answering twice, inside the reasoning, or without any.
    """
    text = rollout.text
    once = all(text.count(tag) == 1 for tag in (THINK, END_THINK, ANSWER, END_ANSWER))
    layout = LAYOUT.fullmatch(text) if once else None
    return float(layout is not None and all(part.strip() for part in layout.groups()))
