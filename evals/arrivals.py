"""arrived.jsonl of an evaluation: a server's answers on their way to be graded, each kept as it comes.

Grading may take longer than answering (a judge, programs), and an answer that waits for it is paid for. The
file is there while samples are missing; the next call takes from it what a killed one left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

from evals.base import io
from evals.base.batches import batches
from evals.engine import Completion, Usage
from evals.records import FINISH_REASONS, decode_ids, encode_ids
from evals.replies import Replies, Row, completion_row
from evals.rollout import Rollout

NAME = "arrived.jsonl"

T = TypeVar("T")
R = TypeVar("R")


class Arrivals:
    """The answers in an evaluation's folder that may not have been graded."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._replies = Replies(self._path)

    def add(self, drawn: Sequence[Rollout]) -> None:
        """Keeps answers, on disk before this returns."""
        rows = (
            completion_row((each.question.id, each.sample), each.completion)
            | {"token_ids": encode_ids(each.completion.token_ids)}
            for each in drawn
        )
        io.append_lines(self._path, rows)

    def get(self, question: str, number: int) -> Completion | None:
        """The answer that is this sample of the question; None where it is not there, or damaged."""
        row = self._replies.get((question, number))
        try:
            return None if row is None else _completion(row)
        except (KeyError, TypeError, ValueError):
            return None


def clear(folder: Path) -> None:
    """Every sample is where it belongs."""
    (folder / NAME).unlink(missing_ok=True)


def _completion(row: Row) -> Completion:
    text, finish, tokens = row["text"], row["finish_reason"], row["tokens"]
    prompt = row.get("prompt_tokens")
    if not isinstance(text, str) or finish not in FINISH_REASONS:
        raise ValueError("is not a completion")
    if not isinstance(tokens, int | None) or not isinstance(prompt, int | None):
        raise ValueError("has no counts")
    usage = Usage(prompt, tokens) if "prompt_tokens" in row else None
    return Completion(text, decode_ids(row["token_ids"]), (), finish, usage)


def handed_over(drawn: Iterator[T], work: Callable[[list[T]], R]) -> Iterator[R]:
    """What ``work`` makes, in a thread beside this one, of all of ``drawn`` that has come since.

    Where ``drawn`` fails, what came before is worked on all the same; left early, what has begun alone.
    """
    todo: SimpleQueue[T | None] = SimpleQueue()
    done: SimpleQueue[R | None] = SimpleQueue()
    left = Event()
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(_work, todo, done, work, left)
        failed = False
        try:
            for each in drawn:
                todo.put(each)
                found = [done.get() for _ in range(done.qsize())]
                yield from (made for made in found if made is not None)
                failed = None in found
                if failed:
                    break
            todo.put(None)
            while not failed and (made := done.get()) is not None:
                yield made
            working.result()
        except Exception:
            raise
        except BaseException:
            left.set()
            raise
        finally:
            todo.put(None)


def _work(
    todo: SimpleQueue[T | None], done: SimpleQueue[R | None], work: Callable[[list[T]], R], left: Event
) -> None:
    try:
        for items in batches(todo):
            if not left.is_set():
                done.put(work(items))
    finally:
        done.put(None)
