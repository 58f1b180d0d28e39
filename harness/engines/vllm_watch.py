"""How far a call of vLLM's ``generate`` has come, token by token.

vLLM itself tells of a request when all of its completions have ended, which may be an hour later. Its engine
advances all requests by a token a step; between two steps their tokens can be counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from evals.engine import Underway

EVERY = 0.5
"""Seconds between two counts: of a thousand requests one takes less than a millisecond."""


@contextmanager
def told_between_steps(engine: Any, tell: Callable[[Underway], None]) -> Iterator[None]:
    """Within the block ``tell`` is told of one call of ``generate``. ``engine`` is vLLM's LLMEngine."""
    step = engine.step
    running = engine.output_processor.request_states  # each completion's, until it has ended
    drawn: dict[str, Any] = {}
    told = 0.0

    def watched() -> Any:
        nonlocal told
        if not drawn:  # the first step: all requests of the call are there, and none has ended
            drawn.update({name: state.detokenizer for name, state in running.items()})
        outputs = step()
        if time.monotonic() - told >= EVERY or not running:
            told = time.monotonic()
            tell(_count(drawn, running))
        return outputs

    engine.step = watched
    try:
        yield
    finally:
        del engine.step  # the class's own again


def _count(drawn: dict[str, Any], running: dict[str, Any]) -> Underway:
    at_work = sum(drawn[name].num_output_tokens() for name in running if name in drawn)
    tokens = sum(each.num_output_tokens() for each in drawn.values())
    ended = sum(name not in running for name in drawn)
    return Underway(ended, tokens - at_work, at_work)
