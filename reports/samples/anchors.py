"""Where a report's page shows questions, and what each model wrote to them: the ids that links lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Anchors:
    """Ids of elements: of questions by (benchmark, question), of responses by (benchmark, question, model),
    where a model also goes by its group's name."""

    questions: Mapping[tuple[str, str], str] = field(default_factory=dict)
    responses: Mapping[tuple[str, str, str], str] = field(default_factory=dict)

    def question(self, benchmark: str, question: str) -> str:
        """The address of a question; "" where the page does not show it."""
        return _address(self.questions.get((benchmark, question)))

    def response(self, benchmark: str, question: str, model: str) -> str:
        """The address of what a model, or the first of a group, wrote to a question; "" where it is not
        shown."""
        return _address(self.responses.get((benchmark, question, model)))

    def first(self, benchmark: str, model: str) -> str:
        """The address of a model's first responses on a benchmark."""
        keys = (key for key in self.responses if key[0] == benchmark and key[2] == model)
        return _address(self.responses.get(next(keys, ("", "", ""))))


NOWHERE = Anchors()
"""Those of what shows no samples."""


def _address(anchor: str | None) -> str:
    return f"#{anchor}" if anchor else ""
