"""What samples a policy: one contract, two engines (transformers, vLLM)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from evals.engine import Engine
from evals.sampling import BLOCK
from harness import distributed
from harness.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.policy import Policy

EngineKind = Literal["transformers", "vllm"]


class RolloutEngine(Engine, Protocol):
    """An engine that follows a policy in training."""

    @property
    def weights_hash(self) -> str:
        """``harness.policy.weights_hash`` of the weights that are sampled.

        Where it differs from the trained model's, a ``sync`` is missing.
        """
        ...

    def sync(self, model: PreTrainedModel) -> None:
        """Samples ``model``'s weights from here on: called after every update, before the next rollout."""
        ...

    def release(self) -> None:
        """Gives back what device memory the engine can do without until ``resume`` (during the update)."""
        ...

    def resume(self) -> None:
        """Takes it again; a no-op where nothing was released."""
        ...


def block_size(engine: Engine, max_tokens: int) -> int:
    """Completions of an evaluation that share a call of ``engine.generate``.

    vLLM fills the places of completions that ended from those that wait, so it is handed more at once; but
    no more than 2**21 tokens where that is above the usual number, for a killed call is done again.
    """
    if engine.name == "vllm":
        return max(BLOCK, min(4 * BLOCK, 2**21 // max_tokens))
    return BLOCK


def make_engine(kind: EngineKind, policy: Policy, own_weights: bool = False) -> RolloutEngine:
    """The engine of that kind over ``policy``.

    ``own_weights``: it keeps the weights of its last ``sync`` while the policy moves on. vLLM's always does.

    Raises:
        UsageError: the engine's package is not installed, or it cannot run this model.
    """
    if kind == "vllm":
        if distributed.world() > 1:
            raise UsageError(
                'policy.engine: "vllm" samples in one process; with several, accepted: "transformers"'
            )
        from harness.engines.vllm import VllmEngine

        return VllmEngine(policy)
    from harness.engines.transformers import TransformersEngine

    return TransformersEngine(policy, own_weights=own_weights)
