"""What a loss chooses over a minibatch, found again in its rows and micro-batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.train.batching import Row
from harness.train.grpo.choosing import choose, marked
from harness.train.grpo.losses.base import Minibatch, Tokens


class Likely:
    """Chooses the tokens above a log-probability, in an order of its own, and keeps what it was given."""

    given: Minibatch | None = None

    def choose(self, minibatch: Minibatch) -> npt.NDArray[np.intp]:
        self.given = minibatch
        return minibatch.rng.permutation(np.flatnonzero(minibatch.logprobs > -1.0))

    def __call__(self, tokens: Tokens) -> torch.Tensor:
        return tokens.ratio


def row(index: int, logprobs: list[float], advantage: float, counts: bool = True) -> Row:
    ids = tuple(range(len(logprobs)))
    return Row(index, index // 2, (1, 2), ids, advantage, tuple(logprobs), counts)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.floats(-3, 0), max_size=6), st.floats(-2, 2), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_each_row_gets_the_places_of_its_own_tokens(
    drawn: list[tuple[list[float], float, bool]],
) -> None:
    rows = [row(7 + i, *one) for i, one in enumerate(drawn)]
    loss = Likely()
    found = choose(loss, rows, (0, 1, 2))
    for before, after in zip(rows, found, strict=True):
        assert (after.index, after.completion_ids, after.advantage) == (
            before.index,
            before.completion_ids,
            before.advantage,
        )
        expected = [t for t, logprob in enumerate(before.sampler) if before.counts and logprob > -1.0]
        assert list(after.chosen) == expected
    counting = [(lp, one.advantage) for one in rows if one.counts for lp in one.sampler]
    if counting:
        assert loss.given is not None
        assert list(zip(loss.given.logprobs, loss.given.advantages, strict=True)) == counting


def test_chance_follows_run_step_and_minibatch() -> None:
    def permuted(*seed: int) -> list[int]:
        loss = Likely()
        choose(loss, [row(0, [-0.5] * 30, 1.0)], seed)
        assert loss.given is not None
        return loss.given.rng.permutation(30).tolist()

    assert permuted(1, 2, 3) == permuted(1, 2, 3)
    draws = [permuted(*seed) for seed in ((1, 2, 3), (0, 2, 3), (1, 0, 3), (1, 2, 0))]
    assert all(one != other for i, one in enumerate(draws) for other in draws[:i])


def test_marks_are_where_the_rows_have_them() -> None:
    rows = choose(Likely(), [row(0, [-2.0, -0.5], 1.0), row(1, [-0.1, -2.0, -0.2], 0.0)], (0,))
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    found = marked(rows, mask)
    assert found is not None
    assert found.tolist() == [[False, True, False], [True, False, True]]
    assert marked([row(0, [-2.0], 1.0)], mask[:1]) is None
