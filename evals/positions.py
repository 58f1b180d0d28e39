"""No more tokens a response than the longest prompt leaves of a model's positions."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from evals import templates as prompts
from evals.engine import Engine
from evals.protocols import Protocol
from evals.task import Question, Task, TaskError

logger = logging.getLogger(__name__)

VARIANT_TOKENS = 32
"""Tokens by which a question's variants (its options in another order) may be longer than itself."""


def within_positions(
    engine: Engine, task: Task, questions: Sequence[Question], asked: Sequence[str], protocol: Protocol
) -> Protocol:
    """The protocol, with no more tokens a response than the model has positions for.

    Raises:
        TaskError: a prompt leaves no position.
    """
    positions = getattr(engine, "positions", None)
    if positions is None:  # a server's model: nobody knows
        return protocol
    counts = prompts.token_counts(asked, engine.tokenizer)
    longest = max(counts) + (VARIANT_TOKENS if task.variant else 0)
    room = positions - longest
    if room < 1:
        name = questions[counts.index(max(counts))].id
        raise TaskError(
            f"{task.name}: the prompt of question {name!r} takes {longest:,} tokens, and the model has "
            f"{positions:,} positions: none is left for a response"
        )
    if protocol.sampling.max_tokens <= room:
        return protocol
    logger.warning(
        "%s: responses end after %s tokens, not %s: the model has %s positions, and the longest prompt "
        "takes %s of them",
        *(task.name, f"{room:,}", f"{protocol.sampling.max_tokens:,}", f"{positions:,}", f"{longest:,}"),
    )
    return protocol.changed(max_tokens=room)
