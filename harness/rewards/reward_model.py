"""What does a reward model think of it?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from evals.base.errors import UsageError, first_line
from evals.rollout import Rollout

BATCH = 16


class RewardModel:
    """A transformers sequence classifier with one output: prompt and response in, its logit out.

    The logit has no bounds; ``normalize`` in the mix puts it on a scale with other rewards.

    Raises:
        UsageError: no such model, or one with more than one output.
    """

    def __init__(self, name: str) -> None:
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            self._model = AutoModelForSequenceClassification.from_pretrained(name, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise UsageError(f"rewards.reward_model: {name} cannot be loaded: {first_line(error)}") from None
        outputs = self._model.config.num_labels
        if outputs != 1:
            raise UsageError(f"rewards.reward_model: {name} has {outputs} outputs, but a reward model has 1")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model.to(device).eval()

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float | None]:
        values: list[float | None] = []
        for start in range(0, len(rollouts), BATCH):
            texts = [r.prompt + r.completion.text for r in rollouts[start : start + BATCH]]
            batch = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                logits = self._model(**batch.to(self._model.device)).logits
            values += logits.float().squeeze(-1).tolist()
        return values
