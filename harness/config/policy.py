"""The policy: which model, how it is loaded, what of it is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from harness.config.table import Table


class LoRA(Table):
    """Low-rank adapters: the policy's matrices stay as they are, and small ones beside them are trained."""

    rank: int = Field(16, ge=1)
    """The inner dimension of an adapter."""
    alpha: int = Field(32, ge=1)
    """An adapter's product is multiplied by alpha / rank."""
    targets: Literal["all-linear"] | list[str] = "all-linear"
    """Which matrices are adapted, by the ends of their names ("q_proj"); or all but embeddings and output."""

    @model_validator(mode="after")
    def _some_target(self) -> LoRA:
        if not self.targets:
            raise ValueError("targets must name at least one matrix")
        return self


class Policy(Table):
    """Which model is trained or sampled."""

    model: str
    """A hub id, a folder in Hugging Face format, or "tiny", "tiny-small", "tiny-teacher": pretrained here."""
    revision: str | None = None
    """The hub revision (a commit), when ``model`` is a hub id."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The dtype of the forward pass; master weights stay float32."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What samples it in training; vLLM gets the new weights in place after every update."""
    server: str = ""
    """A teacher's: the address, up to /v1, of an OpenAI-compatible server that samples it (`vllm serve`)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; "auto" takes a GPU where there is one."""
    template: str = "r1-zero"
    """The prompt template, a name from evals/prompts.py. The tiny policy was pretrained on "tags"."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory for about a third more time."""
    lora: LoRA | None = None
    """Train adapters instead of the whole model; by default all of it is trained."""
