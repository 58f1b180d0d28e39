"""Measures a policy: data sets, graders, honest statistics; whatever samples is handed in.

What a script or notebook needs of it, imported when it is asked for:

    from evals import Question, Task, score, compare
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evals.base.lazy import lazily

if TYPE_CHECKING:
    from evals.comparison.compare import Comparison, compare
    from evals.graders.base import Verdict
    from evals.scored import Scored, score
    from evals.scores import Scores
    from evals.task import Question, Task, TaskError

__all__ = ["Comparison", "Question", "Scored", "Scores", "Task", "TaskError", "Verdict", "compare", "score"]

_PLACES = {
    "Comparison": "evals.comparison.compare",
    "Question": "evals.task",
    "Scored": "evals.scored",
    "Scores": "evals.scores",
    "Task": "evals.task",
    "TaskError": "evals.task",
    "Verdict": "evals.graders.base",
    "compare": "evals.comparison.compare",
    "score": "evals.scored",
}


def __getattr__(name: str) -> Any:
    return lazily(__name__, name, _PLACES)


def __dir__() -> list[str]:
    return sorted(__all__)
