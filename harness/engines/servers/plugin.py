"""What vLLM servers load of this project: weights that arrive by gloo, through main memory.

It is registered by the entry point group ``vllm.general_plugins``, in each of a server's processes. vLLM's
own ways of moving weights need GPUs on both sides.
"""

from __future__ import annotations

NAME = "harness_gloo"
"""As ``--weight-transfer-config '{"backend": "harness_gloo"}'`` has it."""


def register() -> None:
    """Makes the transfer known to vLLM; nothing of it is imported before a server asks for it."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    if NAME not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(NAME, "harness.engines.servers.receiver", "GlooReceiver")
