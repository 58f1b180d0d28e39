"""Papers as files: what is accepted, and the sentence for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.base.errors import UsageError
from reports.papers import published

HEADING = "table,model,benchmark,metric,value,source,hub,billions,task,samples\n"


def test_every_shipped_value_is_a_number_with_a_source_and_the_plan_covers_its_open_models() -> None:
    cells = published.published()
    assert len(cells) == 209
    assert all(float(cell.value) >= 0 and cell.source for cell in cells)
    assert all(cell.known for cell in cells), "a model without a plan"
    planned = {(c.benchmark, c.metric): (c.task, c.score, c.samples, c.questions) for c in cells if c.task}
    assert planned["AIME 2024", "cons@64"] == ("aime24", "cons@64", 64, 30)
    assert planned["MATH-500", "pass@1"] == ("math500", "pass@1", 4, 500)


def test_another_paper_is_a_file_that_may_bring_its_own_plan(tmp_path: Path) -> None:
    paper = tmp_path / "other.csv"
    paper.write_text(HEADING + "t1,Mine,GSM8K,pass@1,21.0,Somebody (2020),org/mine,0.5,gsm8k,2\n")
    [cell] = [cell for cell in published.published([paper]) if cell.table == "t1"]
    assert (cell.hub, cell.billions, cell.task, cell.score, cell.samples) == (
        "org/mine",
        0.5,
        "gsm8k",
        "pass@1",
        2,
    )


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("t1,Mine,GSM8K,pass@1,many,S,,,,", "other.csv, line 2: value must be a number, got 'many'"),
        ("t1,Mine,GSM8K,pass@1,,S,,,,", "other.csv, line 2 lacks 'value'; needed: table, model"),
        ("t1,Mine,GSM8K,pass@1,1,S,,,chess,", "other.csv, line 2: unknown task 'chess'; accepted: aime24"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(tmp_path: Path, row: str, sentence: str) -> None:
    paper = tmp_path / "other.csv"
    paper.write_text(HEADING + row + "\n")
    with pytest.raises(UsageError) as told:
        published.published([paper])
    assert str(told.value).startswith(sentence)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.csv: no such file"):
        published.published([tmp_path / "none.csv"])
