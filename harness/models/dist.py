"""Several processes on one run: torchrun starts them, the first writes.

Every process draws the same prompts, samples, grades and learns its share of them, and knows all results
(``spread``). What depends on chance is seeded by what it is for and never by where it runs, and losses have
the denominators of the whole batch, so the number of processes changes rounding and nothing else. How the
policy lies over them is in ``sharding``.

With one process all of this is nothing: the functions hand back what they are given.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

T = TypeVar("T")
R = TypeVar("R")
PATIENCE = datetime.timedelta(hours=12)
"""How long a process waits for the others: the first one measures benchmarks by itself."""


M_MMAP_THRESHOLD = -3
"""mallopt's number for the size from which a block gets pages of its own (malloc.h)."""
OWN_PAGES = 2**20
"""Bytes from which it does here."""
UNTIL_ENDED = 30.0
"""Seconds in which the process that tells of an error has surely told it."""


_here = threading.local()
"""``alone`` is set in threads that work without the other processes."""


def rank() -> int:
    """This process's number, 0 for the one that writes."""
    return int(os.environ["RANK"]) if dist.is_torchelastic_launched() and not _is_alone() else 0


def world() -> int:
    """How many processes work on the run."""
    return int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() and not _is_alone() else 1


@contextmanager
def alone() -> Iterator[None]:
    """In this thread, inside this block, there is one process: what is done here the others do not do."""
    before, _here.alone = _is_alone(), True
    try:
        yield
    finally:
        _here.alone = before


def _is_alone() -> bool:
    return getattr(_here, "alone", False)


def local_world() -> int:
    """How many of them are on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1


def is_main() -> bool:
    return rank() == 0


@contextmanager
def joined() -> Iterator[None]:
    """The processes that torchrun started know each other inside this block; each has a GPU, if there are.

    An error that ends one of them ends all, and one of them raises it: the others wait to be ended.
    """
    if world() == 1:
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    else:
        _return_freed_memory()
    store, number, count = next(rendezvous("env://", timeout=PATIENCE))
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=PATIENCE)
    try:
        yield
    except Exception:
        if store.add("errors", 1) > 1:
            # torchrun ends this process as soon as the one that tells of the error has ended.
            time.sleep(UNTIL_ENDED)
        raise
    dist.destroy_process_group()


def _return_freed_memory() -> None:
    """Gives large freed blocks back to the system at once.

    glibc learns to keep blocks of up to 32 MiB in its heap, where those that FSDP2 gathers and frees, each
    of another size, leave holes: a fifth of a process's memory with SmolLM2 (benchmarks/processes.py).
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, OWN_PAGES)


def spread(work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], width: int = 1) -> list[R]:
    """``work(items)``, a result for each item in order, each process having worked on its share.

    ``width`` processes after one another have the same share, and come to the same results.

    Raises:
        Exception: the first one that any process met, in all of them.
    """
    if world() == 1:
        return list(work(items))
    shares = world() // width
    results = _told(lambda: list(work(items[rank() // width :: shares])))[::width]
    return [results[i % shares][i // shares] for i in range(len(items))]


def decided(decide: Callable[[], T]) -> T:
    """What the first process finds, in all of them: for what could look different to each."""
    if world() == 1:
        return decide()
    return cast(T, _told(lambda: decide() if is_main() else None)[0])


def gather(value: T) -> list[T]:
    """Every process's ``value``, in the order of their numbers."""
    return [value] if world() == 1 else _told(lambda: value)


def _told(find: Callable[[], R]) -> list[R]:
    """What each process finds; an error of one is raised in all, so that none waits for ever."""
    mine: tuple[R | None, Exception | None]
    try:
        mine = (find(), None)
    except Exception as error:  # whatever it is, it ends the run in the process that met it
        mine = (None, error)
    told: list[Any] = [None] * world()
    dist.all_gather_object(told, mine)
    for _, failure in told:
        if failure is not None:
            raise failure
    return [found for found, _ in told]


def shares(sizes: Sequence[int]) -> list[int]:
    """Which process each of some pieces of work goes to, so that their sums of sizes are about equal."""
    loads = [0] * world()
    found = [0] * len(sizes)
    for place in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        found[place] = loads.index(min(loads))
        loads[found[place]] += sizes[place]
    return found
