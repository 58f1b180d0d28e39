"""A probe of what the engine samples: a few tokens drawn from a fixed text and scored by the trainer too.

That an engine took the weights proves nothing: a tied LM head can stay as it was, a mixture's experts can be
packed once and never again, and every call says yes. What counts are the log-probabilities that it computes
with, so both sides are asked after each sync, each by the very code that training uses.
"""

from __future__ import annotations

import time

import torch

from evals.base.errors import JobError
from evals.engine import Request, Sampling
from harness.engines.registry import RolloutEngine, samples_itself
from harness.models import trial
from harness.models.policy import Policy
from harness.train.batching import Block, Row
from harness.train.forward import Scorer, evaluation_mode

PROMPTS, DRAWN = 16, 4
"""Prompts, and tokens that are drawn after each: 64 tokens from 16 places, in as few decoding steps as that
takes."""
WORDS = range(2, 10)
"""Words that a prompt has."""
SEED = 0


class Probe:
    """Compares an engine with the policy that it is to sample."""

    def __init__(
        self, engine: RolloutEngine, scorer: Scorer, policy: Policy, temperature: float, limit: float | None
    ) -> None:
        """``scorer`` is the trainer's, at ``temperature``; ``limit`` as ``GRPO.probe_limit``."""
        self._engine = engine
        self._scorer = scorer
        self._policy = policy
        self._sampling = Sampling(temperature=temperature, max_tokens=DRAWN)
        self._checked = False
        self._limit = trial.limit(policy) if limit is None else limit
        room = int(getattr(engine, "positions", policy.positions)) - DRAWN
        self._prompts = [text for text in prompts() if len(policy.tokenizer(text).input_ids) < room]

    def check(self) -> dict[str, float]:
        """``probe/drift``: mean |trainer - engine| log-probability of the drawn tokens, in nats; and seconds.

        Empty where the engine has no room for any of the prompts; from the second time on also where it
        samples the policy's own module: nothing is copied there that could be left behind, and the drift of
        all completions (``monitors.check_drift``) goes on being watched.

        Raises:
            JobError: it is above the limit, so the engine samples another policy.
        """
        if not self._prompts or (self._checked and samples_itself(self._engine, self._policy)):
            return {}
        self._checked = True
        started = time.perf_counter()
        drift = self._drift()
        if drift > self._limit:
            dtype = str(self._policy.dtype).removeprefix("torch.")
            raise JobError(
                f"after a sync the {self._engine.name} engine does not sample the policy in training: "
                f"log-probabilities of a fixed text differ by {drift:.3g} nats per token, where rounding in "
                f"{dtype} explains less than {self._limit:g} (probe_limit); likely causes: a tied LM head or "
                "experts of a mixture that the engine packed once and did not pack again, adapters that were "
                "not merged, weights that never arrived; take another engine"
            )
        return {"probe/drift": drift, "seconds/probe": time.perf_counter() - started}

    def _drift(self) -> float:
        requests = [Request(text, 1, SEED + place) for place, text in enumerate(self._prompts)]
        groups = self._engine.generate(requests, self._sampling)
        drawn = [(group.prompt_ids, group.completions[0]) for group in groups]
        rows = tuple(Row(i, i, ids, completion.token_ids) for i, (ids, completion) in enumerate(drawn))
        with evaluation_mode(self._policy.model):
            ours = self._scorer.score([Block((rows,), shared=False)], len(rows))
        theirs = [torch.tensor(completion.logprobs) for _, completion in drawn]
        return trial.difference(ours, theirs)


def prompts() -> list[str]:
    """``PROMPTS`` pieces of ``trial.TEXT``, from places all over it and of several lengths."""
    words = trial.TEXT.split()
    found = []
    for place in range(PROMPTS):
        count = WORDS[place % len(WORDS)]
        first = place * (len(words) - count) // PROMPTS
        found.append(" ".join(words[first : first + count]))
    return found
