"""A model that is served: where, how it is asked, and what it costs."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from evals.base.http import check_address
from evals.base.secrets import mask
from harness.config.table import Table

TEACHER_KEY = "HARNESS_TEACHER_KEY"
"""The environment variable of a teacher's key, where ``key_env`` names none."""


class Server(Table):
    """OpenAI-compatible servers of one model (`vllm serve`); an address alone stands for a whole table."""

    addresses: list[str] = Field(min_length=1)
    """Each up to /v1: "http://localhost:8000/v1". Several share the questions."""
    api: Literal["chat", "completions"] | None = None
    """"chat": the server's own chat template; "completions": prompts are made here and continued there. By
    default chat, and completions for a teacher, from whose tokens a student learns."""
    model: str = ""
    """The model's name at the server; by default the policy's ``model``."""
    key_env: str = ""
    """The environment variable that holds the key, where the server wants one: the key is never written."""
    concurrency: int = Field(256, ge=1)
    """Requests in flight at each address at most; fewer where it answers that it has too many."""
    timeout: float = Field(3600.0, gt=0.0)
    """Seconds for one response, all tries together."""
    price_in: float | None = Field(None, ge=0.0)
    """What a million tokens of prompts cost."""
    price_out: float | None = Field(None, ge=0.0)
    """What a million tokens of responses cost."""

    @model_validator(mode="before")
    @classmethod
    def _from_addresses(cls, value: Any) -> Any:
        if isinstance(value, str | list):
            value = {"addresses": value}
        if isinstance(value, dict) and isinstance(value.get("addresses"), str):
            value = {**value, "addresses": [each.strip() for each in value["addresses"].split(",")]}
        return value

    @field_validator("addresses")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        for each in value:
            if mask(each) != each:
                raise ValueError(
                    "contains a password, which would be saved with every run; remove it, and set "
                    "key_env to the name of an environment variable that holds the key (for a teacher: "
                    f"{TEACHER_KEY})"
                )
            check_address(each)
        if len({each.rstrip("/") for each in value}) < len(value):
            raise ValueError("lists the same address twice")
        return value

    @field_validator("key_env")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            # The value may be the key itself: it is not shown.
            raise ValueError("must be the name of an environment variable, such as OPENAI_API_KEY")
        return value

    @model_validator(mode="after")
    def _priced_both_ways(self) -> Server:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out go together: set both, 0 for what is free")
        return self
