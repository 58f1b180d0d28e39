"""Examples come back as they were put away, in memory and on disk, in any order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.train.sft import stored
from harness.train.sft.stored import Stored, Tokens

IDS = st.lists(st.integers(0, 2**32 - 1), max_size=6).map(tuple)
EXAMPLES = st.builds(
    lambda prompt, rest: Tokens(prompt, tuple(i for i, _ in rest), tuple(flag for _, flag in rest)),
    IDS,
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.booleans()), max_size=6),
)


@given(st.lists(EXAMPLES, max_size=8), st.data())
def test_what_is_added_is_found_again(examples: list[Tokens], data: st.DataObject) -> None:
    kept = Stored()
    for each in examples:
        kept.add(each)
        assert kept[-1] == each  # reading in between does not disturb writing
    assert list(kept) == examples
    assert kept[1:3] == examples[1:3]
    if examples:
        place = data.draw(st.integers(0, len(examples) - 1))
        assert kept[place] == examples[place]
    with pytest.raises(IndexError):
        kept[len(examples)]


def test_many_go_to_disk_and_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "IN_MEMORY", 100)
    kept = Stored(tmp_path)
    examples = [Tokens((i,), (i, i + 1), (True, False)) for i in range(50)]
    for each in examples:
        kept.add(each)
    assert kept._file._rolled  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []
    assert [kept[i] for i in reversed(range(50))] == examples[::-1]
