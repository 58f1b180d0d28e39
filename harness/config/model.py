"""The policy: which model, how it is loaded, what of it is trained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from evals.templates import AUTO, Template
from harness.config.choice import Choice, EngineChoice, Named
from harness.config.server import Server
from harness.config.servers import Servers
from harness.config.table import Table

HUB_REVISION = re.compile(r"(?P<model>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)")


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


def _kind_of_template(value: object) -> str:
    return "#table" if isinstance(value, dict | Template) else "#name"


# The tags keep an error to the kind that was meant; they are no part of its key.


TemplateEntry = Annotated[
    Annotated[Named, Tag("#name")] | Annotated[Template, Tag("#table")],
    Discriminator(_kind_of_template),
]


class Policy(Table):
    """Which model is trained or sampled."""

    model: str
    """A hub id, OWNER/NAME or OWNER/NAME@REVISION; a folder in Hugging Face format, a run's, a sweep's or an
    adapter's; a GGUF file; "smollm2"; or "tiny", "tiny-small", "tiny-teacher", which are pretrained here."""
    revision: str | None = None
    """The hub revision (a commit), when ``model`` is a hub id."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The dtype of the forward pass; master weights stay float32."""
    head_dtype: Literal["model", "float32"] = "model"
    """The dtype of the last product, over the vocabulary: ``dtype``, or float32, in training and sampling."""
    engine: EngineChoice = Choice(kind="transformers")
    """What samples it in training: "transformers", "vllm" (which gets the new weights in place after every
    update), or one of your own. A name, or a table of ``kind`` and the engine's own settings; for vLLM
    memory_share, tensor_parallel, data_parallel, max_model_len, batch_size, and any of its EngineArgs."""
    vllm_memory: float | None = Field(None, gt=0, le=1)
    """The share of a GPU's memory that vLLM may take, where ``engine.memory_share`` does not say it; by
    default 0.45 beside training, and of what is free, up to 0.92, where nothing is trained."""
    server: Server | None = None
    """Where it is served, if it is not loaded here: an address up to /v1, several with commas between, or a
    table. For a teacher, and for a policy that is only measured."""
    servers: Servers | None = None
    """vLLM servers that sample the policy in training, apart from where it is trained: their addresses
    (["http://node1:8000"]), or a table; { count = 2 } starts two of them here."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; "auto" takes a GPU where there is one."""
    template: TemplateEntry = AUTO
    """The prompt template: a table of its own, or a name: r1-zero, tags, chat-boxed, plain, "file.py:name".
    "auto" is chat-boxed where the tokenizer has a chat template and r1-zero where it has none. The tiny
    policy was pretrained on "tags"."""
    trust_remote_code: bool = False
    """Run the Python code that the model's own folder or repository brings; never without this word."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory for about a third more time."""
    lora: LoRA | None = None
    """Train adapters instead of the whole model; by default all of it is trained."""
    quantization: Literal["nf4"] | None = None
    """With ``lora``: the frozen linear layers in four bits while it trains (QLoRA, by bitsandbytes)."""

    @field_validator("server", mode="before", json_schema_input_type=Server | str | None)
    @classmethod
    def _no_server(cls, value: object) -> object:
        return None if value == "" else value  # as earlier experiments have it

    @model_validator(mode="after")
    def _adapters_over_codes(self) -> Policy:
        if self.quantization is not None and self.lora is None:
            raise ValueError(
                "quantization needs lora: 4-bit weights are frozen, so only adapters can be trained"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _served_by_vllm(cls, raw: Any) -> Any:
        """What ``servers`` are is vLLM, which ``engine`` need not say."""
        if isinstance(raw, dict) and raw.get("servers") is not None and "engine" not in raw:
            return {**raw, "engine": "vllm"}
        return raw

    @model_validator(mode="after")
    def _fits_its_servers(self) -> Policy:
        if self.servers is None:
            return self
        if self.server is not None:
            raise ValueError("servers is for training and server for evaluation; leave one of them out")
        if self.engine.kind != "vllm":
            raise ValueError(
                f'engine: servers always run vLLM, but engine is "{self.engine.kind}"; leave it out'
            )
        if self.servers.addresses and self.engine.settings:
            raise ValueError(
                "engine: its settings apply only to servers that the run starts (servers.count); running "
                "servers keep the settings they were started with"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _split_revision(cls, raw: Any) -> Any:
        """OWNER/NAME@REVISION is the hub id and its revision."""
        model = raw.get("model") if isinstance(raw, dict) else None
        found = HUB_REVISION.fullmatch(model) if isinstance(model, str) else None
        if found is None or Path(found[0]).exists():
            return raw
        if raw.get("revision") not in (None, found["revision"]):
            raise ValueError(f"revision: model names {found['revision']}, and revision {raw['revision']}")
        return {**raw, "model": found["model"], "revision": found["revision"]}


def check_teacher(teacher: Policy) -> None:
    """Refuses what a policy that answers and is not trained does nothing with.

    Raises:
        ValueError: names the key.
    """
    without_effect = dict.fromkeys(
        ("lora", "quantization", "gradient_checkpointing"), "a teacher is not trained"
    )
    if teacher.server:
        where = f"{teacher.server.addresses[0]} decides how the teacher is sampled"
        without_effect |= dict.fromkeys(("engine", "device", "dtype", "head_dtype"), where)
    for key, why in without_effect.items():
        if getattr(teacher, key) != Policy.model_fields[key].default:
            raise ValueError(f"teacher.{key} has no effect: {why}; leave it out")
