"""A digest of tensors that is taken where they lie, one of them at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch

BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed number: spreads consecutive places
CHECKSUM_CHUNK = 2**20


def tensors_hash(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """The digest of named tensors in any order; one of them at a time is looked at."""
    lines = []
    with torch.no_grad():  # not inference mode, in which shards cannot be put together
        for name, tensor in tensors:
            lines.append(f"{name} {tensor.dtype} {tuple(tensor.shape)} {_checksum(tensor)}\n")
    digest = hashlib.blake2b(digest_size=16)
    for line in sorted(lines):
        digest.update(line.encode())
    return digest.hexdigest()


def _checksum(tensor: torch.Tensor) -> int:
    """Sum over i of bits[i] * odd(i) modulo 2^64: no single change and hardly a permutation keeps it."""
    bits = tensor.contiguous().reshape(-1).view(BITS[tensor.dtype.itemsize])
    total = 0
    for start in range(0, len(bits), CHECKSUM_CHUNK):
        part = bits[start : start + CHECKSUM_CHUNK].to(torch.int64)
        place = torch.arange(start, start + len(part), device=bits.device)
        total += int((part * (place * GOLDEN).bitwise_or_(1)).sum())
    return total % 2**64
