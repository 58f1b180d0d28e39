"""Learning curves from CSV files: both forms, several runs in a file, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.base.errors import UsageError
from reports.curve_files import read_curves


def written(folder: Path, *rows: str) -> Path:
    path = folder / "curves.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_column_per_metric(tmp_path: Path) -> None:
    path = written(tmp_path, "_step,accuracy/a,note", "20,0.4,x", "10,,y", "0,0.2,")
    ((label, frame),) = read_curves(path)
    assert label == "curves"
    assert frame["step"].tolist() == [0, 10, 20]
    assert frame["accuracy/a"].dropna().tolist() == [0.2, 0.4]


def test_a_row_per_value_and_several_runs(tmp_path: Path) -> None:
    rows = ["1,10,aime,0.1", "1,10,math,0.5", "1,20,aime,0.2", "b,10,aime,0.3"]
    found = dict(read_curves(written(tmp_path, "run,step,benchmark,accuracy", *rows)))
    assert list(found) == ["curves 1", "curves b"]
    assert list(found["curves 1"]) == ["step", "aime", "math"]
    assert found["curves 1"]["aime"].tolist() == [0.1, 0.2]
    assert found["curves 1"]["math"].dropna().tolist() == [0.5]
    assert found["curves b"]["aime"].tolist() == [0.3]


def test_a_chart_exported_from_wandb(tmp_path: Path) -> None:
    head = (f"{run} - {name}" for run in ("a - b", "c") for name in ("acc", "acc__MIN", "acc__MAX"))
    header = ",".join(f'"{name}"' for name in ("Step", "c - _step", *head))
    rows = ['"0","0","0.1","0","0.2","0.3","0.3","0.3"', '"5","5","","","","0.4","0.4","0.4"']
    found = dict(read_curves(written(tmp_path, header, *rows)))
    assert list(found) == ["curves a - b", "curves c"]
    assert found["curves a - b"].to_dict("list") == {"step": [0], "acc": [0.1]}
    assert found["curves c"].to_dict("list") == {"step": [0, 5], "acc": [0.3, 0.4]}


def test_bounds_without_runs_are_metrics(tmp_path: Path) -> None:
    ((_, frame),) = read_curves(written(tmp_path, "Step,acc,acc__MIN", "0,0.1,0", "5,0.2,0.1"))
    assert frame["acc__MIN"].tolist() == [0, 0.1]
    ((_, frame),) = read_curves(written(tmp_path, "Step,a - acc__MIN", "0,0.1"))
    assert frame["a - acc__MIN"].tolist() == [0.1]


def test_a_scalar_exported_from_tensorboard(tmp_path: Path) -> None:
    ((_, frame),) = read_curves(written(tmp_path, "Wall time,Step,Value", "1.7e9,0,0.1", "1.7e9,4,0.2"))
    assert frame["step"].tolist() == [0, 4]
    assert frame["Value"].tolist() == [0.1, 0.2]


def test_runs_with_a_column_per_metric(tmp_path: Path) -> None:
    path = written(tmp_path, "run,step,reward", "1,0,0.1", "2,0,0.2", "1,5,0.3")
    assert [frame["reward"].tolist() for _, frame in read_curves(path)] == [[0.1, 0.3], [0.2]]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (("x,y", "1,2"), "no step column, only x, y"),
        (("step,accuracy", "1,0.2", "1,0.3"), "several rows have the same step; a column run"),
        (("step,benchmark,accuracy", "1,a,0.2", "1,a,0.3"), "have the same step and benchmark"),
        (("step,benchmark,accuracy,n", "1,a,0.2,30"), "one column, the value; there is accuracy, n"),
        (("",), "is not valid CSV"),
    ],
)
def test_what_is_refused(tmp_path: Path, rows: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        list(read_curves(written(tmp_path, *rows)))
