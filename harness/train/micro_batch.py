"""How many tokens fit into a micro-batch: as configured, until memory runs out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from evals.base import io
from evals.base.errors import JobError
from harness.models import dist
from harness.train.ledger import MicroBatchSize

log = logging.getLogger(__name__)
T = TypeVar("T")

SMALLEST = 64
"""Micro-batches are not cut below this: one row passes whatever the limit."""


class MicroBatch:
    """The tokens of a micro-batch, halved when memory runs out.

    Several processes cannot do a step again, each being in the middle of an exchange with the others: the
    run stops, and its next launch begins with the half that ``file`` (None: no file) has by then.
    """

    def __init__(self, tokens: int, file: Path | None = None) -> None:
        self._file = file
        self.restore(tokens)

    def restore(self, tokens: int) -> None:
        """Goes back to what a checkpoint says, or to less where that has been too much since."""
        self.tokens = tokens
        if self._file is not None and self._file.exists():
            self.tokens = min(tokens, io.read_as(self._file, MicroBatchSize).tokens)

    def fitting(self, work: Callable[[], T]) -> T:
        """Runs ``work``; when memory runs out, again with half the tokens.

        Raises:
            JobError: memory does not suffice for the smallest micro-batch, or other processes wait.
        """
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                self._halve(error)
            # Outside the except clause, whose traceback keeps the failed micro-batch's tensors alive.
            log.warning("out of memory: trying again with micro_batch_tokens = %d", self.tokens)
            gc.collect()
            torch.cuda.empty_cache()

    def _halve(self, error: RuntimeError) -> None:
        before, self.tokens = self.tokens, self.tokens // 2
        said = f"out of memory with {before} tokens per micro-batch"
        if before <= SMALLEST:
            raise JobError(f"{said}: lower max_tokens or train a smaller policy") from error
        if dist.world() > 1:
            if self._file is not None:
                io.write_json(self._file, {"tokens": self.tokens})
            raise JobError(f"{said}: the same command resumes with {self.tokens}") from error


def _out_of_memory(error: RuntimeError) -> bool:
    """PyTorch has a class for this on GPUs alone."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
