"""The engines of all processes of a run as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evals.engine import Group, Request, Sampling
from harness.engines.registry import RolloutEngine, in_flight, takes_pieces, version_of
from harness.models.dist import spread


class SpreadEngine:
    """An engine in every process as one: each samples its share of the requests.

    ``width``: consecutive processes that are one engine together, and have the same share.
    """

    def __init__(self, engine: RolloutEngine, width: int = 1) -> None:
        self._engine = engine
        self._width = width
        self.name = engine.name
        self.takes_pieces = takes_pieces(engine)
        self.in_flight = in_flight(engine)

    @property
    def tokenizer(self) -> Any:
        return self._engine.tokenizer

    @property
    def model_hash(self) -> str:
        return self._engine.model_hash

    @property
    def weights_hash(self) -> str:
        return self._engine.weights_hash

    @property
    def version(self) -> int:
        return version_of(self._engine)

    @property
    def positions(self) -> int:
        """Of engines that say it."""
        found: int = self._engine.positions  # type: ignore[attr-defined]
        return found

    def sync(self, model: Any) -> None:
        self._engine.sync(model)

    def release(self) -> None:
        self._engine.release()

    def resume(self) -> None:
        self._engine.resume()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        return spread(lambda mine: self._engine.generate(mine, sampling), requests, self._width)
