"""How tokens are drawn beyond temperature and length: evaluations and answers may set it, GRPO may not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from harness.config.table import Table

OFF: Mapping[str, Any] = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "thinking_budget": None,
}
"""Settings of sampling that change the distribution drawn from, and their values where they do not."""


class Drawing(Table):
    """Settings that cut or bend the distribution that a token is drawn from, or end a response."""

    top_k: int = Field(0, ge=0)
    """Draw from the so many likeliest tokens alone; 0: from all."""
    min_p: float = Field(0.0, ge=0.0, le=1.0)
    """Leave out tokens below this share of the likeliest one's probability; 0: none."""
    repetition_penalty: float = Field(1.0, gt=0.0)
    """Above 1 makes tokens less likely that prompt or response hold already (Keskar et al., 2019)."""
    thinking_budget: int | None = Field(None, ge=0)
    """After so many tokens inside <think> the closing tag is forced; a server refuses it."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """A response ends before the first of these strings, besides those of the template."""

    def drawing(self) -> dict[str, Any]:
        """What is set here to other than its default, by the names of ``evals.engine.Sampling``."""
        fields = Drawing.model_fields
        return {key: getattr(self, key) for key in fields if getattr(self, key) != fields[key].default}


def refuse_truncation(raw: object) -> object:
    """``raw``, a GRPO stage's table, without settings of sampling that do nothing there.

    The trainer's log-probabilities are of the whole distribution at the stage's temperature. Tokens drawn
    from a part of it would be weighed as if they had been rarer than they were, and a forced token as if the
    policy had chosen it.

    Raises:
        ValueError: one of them is set to what would change the distribution.
    """
    if not isinstance(raw, dict):
        return raw
    for key, off in OFF.items():
        if key in raw and raw[key] != off:
            raise ValueError(
                f"{key}: a GRPO stage samples from the policy's full distribution, because any other "
                "would bias the gradient; set this in [eval] or a reject stage only"
            )
    return {key: value for key, value in raw.items() if key not in OFF}
