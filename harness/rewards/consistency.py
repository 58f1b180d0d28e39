"""Does the answer follow from the reasoning, or was it put beside it?"""

from __future__ import annotations

from evals.graders.extract import extract
from evals.graders.math.normalize import canonical
from evals.rollout import ANSWER, END_ANSWER, Rollout


def consistency(rollout: Rollout) -> float | None:
    """1 where the last result of the reasoning is the answer given, else 0; right or wrong does not matter.

    Both are read by the grader's own rules (a box, "the answer is", the last number) and compared in normal
    form, not by algebra: 1/2 is not 0.5 here. Reasoning without a result, or a response without an answer,
    earns 0, so silence gains nothing.
    """
    said = rollout.said
    answer = extract(said).answer if said else None
    concluded = extract(rollout.reasoning).answer
    if answer is None or concluded is None or (ANSWER in said and END_ANSWER not in said):
        return 0.0
    return float(canonical(answer) == canonical(concluded))
