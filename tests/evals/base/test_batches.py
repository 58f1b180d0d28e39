"""What has come is taken at once, to the end."""

from __future__ import annotations

from queue import SimpleQueue

from evals.base.batches import batches


def test_all_that_has_come_is_one_batch_and_none_ends_it() -> None:
    arriving: SimpleQueue[int | None] = SimpleQueue()
    for item in (1, 2):
        arriving.put(item)
    found = batches(arriving)
    assert next(found) == [1, 2]
    for end in (3, None):
        arriving.put(end)
    assert list(found) == [[3]]


def test_an_end_alone_gives_no_batch() -> None:
    arriving: SimpleQueue[int | None] = SimpleQueue()
    arriving.put(None)
    assert list(batches(arriving)) == []
