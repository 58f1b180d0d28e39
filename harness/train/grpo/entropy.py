"""The weight of the entropy bonus: the stage's, or one that is to hold a target entropy.

The adaptive entropy control of Skywork-OR1 (arXiv 2505.22312, section 3.2.5). With c_1 the stage's
``weight``, e_k the mean entropy of step k's learned tokens, t the target and d the step:

    c_k+1 = min(max(c_k + d, 0), high) where e_k < t, with - d where e_k > t, else c_k
    weight of step k+1 = c_k+1 where e_k <= t, else 0; that of step 1 = 0

In the paper e_k itself decides whether step k's bonus counts, and c_1 = 0. Here, as in TRL, an entropy is
known only once its step has been learned, so that the step before decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.config import EntropyBonus

KEY = "entropy_bonus"
"""Its place in a checkpoint's state."""


class EntropyWeight:
    """The weight of the step that comes next."""

    def __init__(self, bonus: EntropyBonus) -> None:
        self._bonus = bonus
        self._coefficient = bonus.weight
        self._entropy: float | None = None

    @property
    def adapts(self) -> bool:
        return self._bonus.target is not None

    @property
    def value(self) -> float:
        target, last = self._bonus.target, self._entropy
        applies = target is None or (last is not None and last <= target)
        return self._coefficient if applies else 0.0

    def follow(self, entropy: float | None) -> None:
        """Takes in a step's mean entropy, in nats per token; None, where no token was learned: as before."""
        target, step = self._bonus.target, self._bonus.step
        if target is None or entropy is None:
            return
        move = step if entropy < target else -step if entropy > target else 0.0
        self._coefficient = min(max(self._coefficient + move, 0.0), self._bonus.high)
        self._entropy = entropy

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; nothing of a weight that stays."""
        return {KEY: {"coefficient": self._coefficient, "entropy": self._entropy}} if self.adapts else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        if self.adapts:
            self._coefficient, self._entropy = state[KEY]["coefficient"], state[KEY]["entropy"]
