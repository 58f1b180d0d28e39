"""Which training questions are drawn, and when: by how often a policy solves them, and by their source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from harness.config.table import Table

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Curriculum(Table):
    """How training questions are drawn; without it every question once an epoch, in shuffled order."""

    rates: str = ""
    """The folder of an evaluation of the policy on the training questions (`harness eval MODEL --benchmarks
    SPEC --samples 8`): a question's pass rate there is how easy it is."""
    band: list[Share] = Field([0.0, 1.0], min_length=2, max_length=2)
    """Only questions with a pass rate between these two, both included, are trained on."""
    order: Literal["shuffled", "easy_first"] = "shuffled"
    """"easy_first": at first from the easiest tenth alone, from half of the stage on from all."""
    park_steps: int = Field(0, ge=0)
    """A question whose completions all got the same reward is not drawn again for so many steps."""
    weights: dict[str, Annotated[float, Field(gt=0.0)]] = {}
    """Entries of ``data.train`` and how often each is drawn, relative to others; one that is not named has
    the weight 1. By default an entry is drawn as often as it has questions."""

    @field_validator("rates")
    @classmethod
    def _whole_path(cls, rates: str) -> str:
        return str(Path(rates).absolute()) if rates else ""

    @model_validator(mode="after")
    def _measured(self) -> Self:
        low, high = self.band
        if low >= high:
            raise ValueError(f"band: the first ({low:g}) must be below the second ({high:g})")
        if not self.rates and self.order == "easy_first":
            raise ValueError("order = 'easy_first' needs rates, which say what is easy")
        if not self.rates and self.band != [0.0, 1.0]:
            raise ValueError("band needs rates, an evaluation of the policy on the training questions")
        return self
