"""Teacher and policy must have one tokenizer: the teacher scores the tokens that the policy has written."""

from __future__ import annotations

from typing import Any

from evals.base.errors import UsageError
from harness.config import OnPolicyDistill


def check_tokenizer(stage: OnPolicyDistill, theirs: Any, mine: Any, student: str) -> None:
    """Refuses a teacher that would read other tokens than the policy ``student`` has written.

    Raises:
        UsageError: says how many tokens differ.
    """
    different = len(theirs.get_vocab().items() ^ mine.get_vocab().items())
    if different:
        raise UsageError(
            f"{stage.name}.teacher: {stage.teacher.model} has another tokenizer than {student} ({different} "
            "entries of their vocabularies differ), so that it cannot score the policy's tokens; take a "
            'teacher of the same family, or a "distill" stage, whose answers pass as text'
        )
