"""small-sums: every addition once, and no pair of numbers in two splits."""

from __future__ import annotations

import re

import pytest

from evals.task import TaskError
from evals.tasks import small_sums as sums
from evals.tasks.registry import load_spec


def test_the_splits_share_no_pair_and_leave_none_out() -> None:
    pairs = {
        split: [tuple(map(int, re.findall(r"\d+", q.text))) for q in load_spec(f"small-sums:{split}")[1]]
        for split in sums.TASK.splits
    }
    assert sum(map(len, pairs.values())) == len({pair for some in pairs.values() for pair in some}) == 400
    assert (len(pairs["test"]), len(pairs["dev"])) == (100, 40)
    unordered = [{tuple(sorted(pair)) for pair in some} for some in pairs.values()]
    assert sum(map(len, unordered)) == len(set().union(*unordered))


def test_gold_is_the_sum_and_ids_are_unique() -> None:
    questions = [q for split in sums.TASK.splits for q in sums.questions(split)]
    assert all(int(q.gold) == sum(map(int, re.findall(r"\d+", q.text))) for q in questions)
    assert len({q.id for q in questions}) == len(questions)
    assert sums.questions("train")[:3] == load_spec("small-sums:train[:3]")[1]


def test_another_split_is_refused() -> None:
    with pytest.raises(TaskError, match="small-sums has no split 'x'; it has train, dev, test"):
        sums.questions("x")
