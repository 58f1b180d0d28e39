"""What samples a policy, by name: the contract of the registry "harness.engines".

An engine is made by a function or class ``(policy: Policy, place: Place) -> RolloutEngine``, with
``settings`` as a last argument where it has settings of its own (``evals.base.registry.takes``). What it has
to keep is in ``evals.engine`` and below; tests/harness/engines/test_contract.py tries all of it, and runs on
an engine of one's own (docs/extending.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from evals.base.errors import UsageError
from evals.base.registry import settings_of, takes
from evals.engine import Engine
from evals.runner import BLOCK
from harness import config
from harness.config.choice import Choice
from harness.config.kinds import ENGINES
from harness.engines.vllm_settings import VllmSettings
from harness.models import dist, sharding

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.models.policy import Policy

EngineKind = str | Choice
"""An engine's name, or its name with settings of its own."""


@dataclass(frozen=True)
class Place:
    """What an engine is to make room for.

    ``own_weights``: it keeps the weights of its last ``sync`` while the policy moves on. ``room``: positions
    that the longest prompt and its completion need, where that is known. ``memory_share``: of a GPU, what
    the engine may take; by default what training leaves. ``batch_size``: completions that it samples at
    once; by default as many as the memory holds.
    """

    own_weights: bool = False
    room: int | None = None
    memory_share: float | None = None
    batch_size: int | None = None


class RolloutEngine(Engine, Protocol):
    """An engine that follows a policy in training."""

    @property
    def weights_hash(self) -> str:
        """``harness.models.policy.weights_hash`` of the weights that are sampled.

        It is asked for between a ``sync`` and the next update, by all processes of a run together.
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


def takes_pieces(engine: Engine) -> bool:
    """Whether ``sync`` reads a sharded model piece by piece (``harness.models.pieces``).

    An engine says so by an attribute of that name; others are given whole models.
    """
    return bool(getattr(engine, "takes_pieces", False))


def in_flight(engine: Engine) -> bool:
    """Whether ``sync`` may be called while ``generate`` runs in another thread: completions that have begun
    go on with the new weights, and ``Completion.versions`` tells which drew each token.

    An engine says so by an attribute of that name.
    """
    return bool(getattr(engine, "in_flight", False))


def version_of(engine: Engine) -> int:
    """The number of the weights that ``engine`` samples, which ``in_flight`` engines count by their
    attribute ``version``; 0 for all others."""
    return int(getattr(engine, "version", 0))


def samples_itself(engine: Engine, policy: Policy) -> bool:
    """Whether ``engine`` samples the policy's own module, which no sync can then leave behind.

    An engine says so by a method ``samples(model)``; others keep weights of their own.
    """
    samples = getattr(engine, "samples", None)
    return samples is not None and bool(samples(policy.model))


def close(engine: Engine | None) -> None:
    """Ends what an engine keeps outside of this process, if it keeps something."""
    end = getattr(engine, "close", None)
    if end is not None:
        end()


def kind_takes_pieces(settings: config.Policy) -> bool:
    """Whether the engine that ``settings`` name takes pieces, before there is one."""
    return settings.engine.kind == "vllm"


def send(engine: RolloutEngine, policy: Policy) -> None:
    """Gives ``engine`` the policy's weights as they are now; all processes of a run call it together."""
    engine.sync(policy.model if takes_pieces(engine) else sharding.gathered(policy).model)


def block_size(engine: Engine, max_tokens: int) -> int:
    """Completions of an evaluation that share a call of ``engine.generate``.

    vLLM fills the places of completions that ended from those that wait, so it is handed more at once; but
    no more than 2**21 tokens where that is above the usual number, for a killed call is done again.
    """
    if engine.name == "vllm":
        return max(BLOCK, min(4 * BLOCK, 2**21 // max_tokens))
    return BLOCK


def make_engine(
    kind: EngineKind,
    policy: Policy,
    own_weights: bool = False,
    *,
    room: int | None = None,
    memory_share: float | None = None,
    batch_size: int | None = None,
) -> RolloutEngine:
    """The engine of that kind over ``policy``.

    ``own_weights``: it keeps the weights of its last ``sync`` while the policy moves on. vLLM's always does.
    ``room``: positions that the longest prompt and its completion need, where that is known: vLLM plans its
    memory by it. ``memory_share``: of a GPU, what vLLM may take; by default what training leaves.
    ``batch_size``: completions that are sampled at once; by default as many as the memory holds.

    Raises:
        UsageError: nothing has this name, its package is not installed, or it cannot run this model.
    """
    choice = Choice.model_validate(kind)
    factory = ENGINES.factory(choice.kind, choice.settings, "engine")
    engine: RolloutEngine = factory(policy, Place(own_weights, room, memory_share, batch_size))
    return engine


def transformers(policy: Policy, place: Place) -> RolloutEngine:
    """Hugging Face's model itself, sampled where it is."""
    from harness.engines.hf import TransformersEngine

    return TransformersEngine(policy, own_weights=place.own_weights, max_rows=place.batch_size)


@takes(VllmSettings)
def vllm(policy: Policy, place: Place, settings: VllmSettings) -> RolloutEngine:
    """vLLM in this process, or in each of a run's processes. It always keeps weights of its own.

    Raises:
        UsageError: vLLM is not installed or cannot run this model, or tensor_parallel does not fit the
            processes of the run.
    """
    if dist.world() % settings.tensor_parallel:
        raise UsageError(
            f"policy.engine.tensor_parallel: {settings.tensor_parallel} devices that share a copy of the "
            f"weights are as many processes of the run, which has {dist.world()}: start a multiple of them "
            "with torchrun, or let servers sample (policy.servers)"
        )
    from harness.engines.vllm_engine import VllmEngine
    from harness.engines.vllm_start import BESIDE_TRAINING

    share = BESIDE_TRAINING if place.memory_share is None else place.memory_share
    return VllmEngine(policy, _planned(settings, place.room, place.batch_size), memory_share=share)


def servers_engine(settings: config.Policy, policy: Policy, room: int | None, folder: Path) -> RolloutEngine:
    """vLLM servers that sample ``policy`` (``policy.servers``); what they say goes into ``folder``.

    Raises:
        UsageError, JobError: as ``ServersEngine``.
    """
    from harness.engines.servers.engine import ServersEngine

    asked = settings_of(vllm, settings.engine.settings, "policy.engine")
    assert isinstance(asked, VllmSettings)
    return ServersEngine(policy, settings, asked, room, folder)


def _planned(settings: VllmSettings, room: int | None, batch_size: int | None) -> VllmSettings:
    """``settings`` with what the work at hand needs, where they do not say it."""
    return settings.model_copy(
        update={
            "max_model_len": settings.max_model_len or room,
            "batch_size": settings.batch_size or batch_size,
        }
    )


def evaluation_engine(
    kind: EngineKind, settings: config.Policy, room: int | None = None, batch_size: int | None = None
) -> Engine:
    """An engine over the policy that ``settings`` names, where nothing is trained.

    vLLM has the GPU to itself and reads the weights itself; an adapter's are added by transformers on the
    CPU, given to it once, and let go.

    Raises:
        UsageError, JobError: as ``load_policy`` and ``make_engine``.
    """
    from harness.models.policy import device_of, load_policy

    if settings.server is not None:
        from harness.engines.served import ServedEngine

        return ServedEngine(settings)
    choice = Choice.model_validate(kind)
    device = device_of(settings.device)
    if choice.kind != "vllm":
        share = settings.vllm_memory
        return make_engine(kind, load_policy(settings), room=room, memory_share=share, batch_size=batch_size)
    asked = settings_of(vllm, choice.settings, "engine")
    assert isinstance(asked, VllmSettings)
    from harness.engines import vllm_start
    from harness.engines.vllm_engine import VllmEngine, VllmSampler
    from harness.models import sources, stored

    planned = _planned(asked, room, batch_size)
    share = settings.vllm_memory or vllm_start.memory_share(device, alone=True)
    source = sources.find(settings)
    if source.adapter is not None:
        policy = load_policy(settings.model_copy(update={"device": "cpu"}))
        return VllmEngine(policy, planned, device=device, memory_share=share)
    subject = vllm_start.subject_in(source.folder, settings)
    digest = stored.folder_hash(source.folder, vllm_start.without_weights(subject), subject.dtype)
    return VllmSampler(subject, device, planned, weights_hash=digest, memory_share=share)
