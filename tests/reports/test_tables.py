"""The tables' figures are those of scores.json and summary.json, to the last printed digit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evals.comparison import compare
from harness.sweep.summary import Summary
from reports import cells, comparisons, sections, tables, trials
from reports.cells import Cell, Table
from reports.collect import collect
from reports.page import render
from reports.study import Sweep


def _column(table: Table, key: str) -> list[Cell]:
    position = [column.key for column in table.columns].index(key)
    return [row[position] for row in table.rows]


def test_results_print_scores_json(sweep_folder: Path) -> None:
    table = tables.results(collect([sweep_folder]))
    assert len(table.rows) == 9
    folders = {"base": "base", "winner, seed 1": "winner-seed-1", "winner, seed 2": "winner-seed-2"}
    for row in table.rows:
        cells = {column.key: cell for column, cell in zip(table.columns, row, strict=True)}
        folder = sweep_folder / "evals" / folders[cells["model"].text] / cells["benchmark"].text
        scores = json.loads((folder / "scores.json").read_text())
        assert cells["pass@1"].text == f"{100 * scores['pass@1']['value']:.1f}"
        assert [cells["pass@1"].low, cells["pass@1"].high] == scores["pass@1"]["ci95"]
        assert cells["n"].text == str(scores["questions"])
        largest = str(scores["samples_per_question"]["max"])
        assert cells["k"].text == largest
        assert cells["pass@k"].text == f"{100 * scores['pass@k'][largest]:.1f}"
        if scores["cons@k"]:
            assert cells["cons@k"].text == f"{100 * scores['cons@k'][largest]['value']:.1f}"
        else:
            assert cells["cons@k"].text == "–"
        for key in ("unparsed", "truncated", "grader_errors"):
            assert cells[key].text == f"{100 * scores[key]:.1f}"


def test_mixed_protocols_are_shown_apart_and_not_averaged(fresh_sweep: Path) -> None:
    path = fresh_sweep / "evals/winner-seed-2/tiny-aime/scores.json"
    scores = json.loads(path.read_text())
    scores["protocol"]["sampling"]["temperature"] = 0.25
    path.write_text(json.dumps(scores))
    study = collect([fresh_sweep])
    table = tables.results(study)
    told = {
        (benchmark.text, model.text): protocol.text
        for benchmark, model, protocol in zip(
            _column(table, "benchmark"), _column(table, "model"), _column(table, "protocol"), strict=True
        )
    }
    assert told["tiny-aime", "winner, seed 2"] == "temperature 0.25"
    assert told["tiny-aime", "base"].startswith("temperature ")
    assert told["tiny-math", "base"] == ""
    page = render(study)
    assert "tiny-aime: winner and base were sampled under different protocols" in page
    assert not [one for one in comparisons.compare(study).differences if one.benchmark == "tiny-aime"]


def test_bold_rows_are_the_significant_winners(sweep_folder: Path) -> None:
    table = tables.results(collect([sweep_folder]))
    bold = [
        (benchmark.text, model.text)
        for benchmark, model, value in zip(
            _column(table, "benchmark"), _column(table, "model"), _column(table, "pass@1"), strict=True
        )
        if value.strong
    ]
    assert {model for _, model in bold} == {"winner, seed 1", "winner, seed 2"}
    assert {benchmark for benchmark, _ in bold} == {"tiny-aime", "tiny-math"}


def test_trials_print_the_summary(sweep_folder: Path) -> None:
    summary = json.loads((sweep_folder / "summary.json").read_text())
    table = trials.trials(collect([sweep_folder]).sweeps[0])
    assert [cell.text for cell in _column(table, "trial")] == [str(i) for i in range(10)]
    for trial, value, state in zip(
        summary["trials"], _column(table, "value"), _column(table, "state"), strict=True
    ):
        assert value.text == ("–" if trial["value"] is None else f"{100 * trial['value']:.1f}")
        assert state.text == trial["state"]
    chosen = [cell.text for cell in _column(table, "trial") if cell.strong]
    assert chosen == [str(summary["winner"]["trial"])]
    assert [column.title for column in table.columns][1:4] == ["group_size", "epsilon", "beta"]


def test_dev_and_benchmarks_at_other_temperatures_are_told_apart(sweep_folder: Path) -> None:
    sweep = collect([sweep_folder]).sweeps[0]

    def caption(dev: float, benchmarks: float) -> str:
        asked = {"stages": [{"temperature": dev}], "eval": {"benchmarks": ["x"], "temperature": benchmarks}}
        return trials.trials(replace(sweep, experiment={**sweep.experiment, **asked})).caption

    told = "sampled at temperature 1 and benchmarks at 0.6: do not compare one with the other."
    assert caption(1.0, 0.6).endswith(told)
    assert "temperature" not in caption(0.6, 0.6)


def test_choice_and_confirmation_stand_side_by_side(sweep_folder: Path) -> None:
    table = trials.selection(collect([sweep_folder]).sweeps[0])
    assert len(table.rows) == 4
    assert "2.3 points" in table.caption  # the expected luck of the best of N


def test_at_k_has_a_column_per_power_of_two(sweep_folder: Path) -> None:
    table = tables.at_k(collect([sweep_folder]))
    assert [column.key for column in table.columns][3:] == [
        "k=1",
        "k=2",
        "k=4",
        "k=8",
        "k=16",
        "k=32",
        "k=64",
    ]
    assert len(table.rows) == 3 * 3 * 2 - 3  # programs do not vote


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.5, "50.0"), (1, "100.0"), (None, "–"), (float("nan"), "–"), ({"value": 0.12345}, "12.3"), ({}, "–")],
)
def test_percent(share: object, text: str) -> None:
    assert cells.percent(share).text == text


def test_signs_and_intervals() -> None:
    assert cells.signed(-0.0449) == "−4.5"
    assert cells.points(0.1, -0.02, 0.2, False).bounds == "−2.0 to +20.0"
    assert cells.percent({"value": 0.5, "ci95": [0.4, 0.6]}).bounds == "40.0–60.0"
    assert compare.p_text(0.0004) == "< 0.001"


@pytest.mark.parametrize(("ks", "shown"), [(range(1, 11), [1, 2, 4, 8, 10]), ([1], [1]), ([], [])])
def test_powers(ks: list[int], shown: list[int]) -> None:
    assert tables.powers(ks) == shown


def test_every_row_of_every_table_fits_its_columns(sweep_folder: Path) -> None:
    study = collect([sweep_folder])
    found = [
        item
        for part in sections.parts(study, comparisons.compare(study))
        for item in part.items
        if isinstance(item, Table)
    ]
    keys = ["results", "at-k", "differences", "turned", "flips", "selection", "trials", "costs"]
    assert [table.key for table in found] == keys
    for table in found:
        assert all(len(row) == len(table.columns) for row in table.rows)


@pytest.mark.parametrize(
    ("objective", "value", "stderr", "shown"),
    [
        ("dev/tokens", 352.0, 4.0, ("352", "344.2 to 359.8")),
        ("dev/tokens", 14_352.4, 100.0, ("14,352", "14,156 to 14,548")),
        ("reward", -0.25, 0.1, ("−0.25", "−0.446 to −0.054")),
        ("dev/pass@1", 0.02, 0.02, ("2.0", "0.0–5.9")),
        ("dev/accuracy", 0.99, 0.01, ("99.0", "97.0–100.0")),
        ("dev/tokens", 352.0, None, ("352", "")),
    ],
)
def test_an_objective_is_shown_in_its_own_unit(
    objective: str, value: float, stderr: float | None, shown: tuple[str, str]
) -> None:
    trial = {"number": 0, "params": {}, "state": "complete", "value": value, "stderr": stderr, "history": []}
    told = {"name": "x", "objective": objective, "direction": "minimize", "trials": [trial]}
    candidate = {"trial": 0, "selection": {"value": value, "stderr": stderr}, "confirmation": [],
                 "base": {"value": value, "stderr": stderr}}  # fmt: skip
    sweep = Sweep(
        "k", Path(), Summary.model_validate({**told, "winner": candidate}), {}, None, "done", {}, {}
    )
    table = trials.trials(sweep)
    [cell] = _column(table, "value")
    assert (cell.text, cell.bounds) == shown
    assert ("percent" in table.caption) == ("/pass" in objective or "accuracy" in objective)
    for cell in _column(trials.selection(sweep), "value"):
        assert (cell.text, cell.bounds) == shown


def test_no_difference_has_no_sign() -> None:
    assert cells.signed(-0.0004) == "0.0"
    assert cells.signed(0.0) == "0.0"
    assert cells.points(-0.0004, -0.0204, 0.0196, False).bounds == "−2.0 to +2.0"


def test_what_was_measured_is_in_its_column_even_where_it_is_the_same_in_every_row() -> None:
    measured = cells.percent({"value": 0.5, "ci95": [0.4, 0.6]})
    columns = tuple(cells.Column(key, key) for key in ("model", "pass@1", "seconds", "state"))
    rows = tuple((Cell(name), measured, Cell("9"), Cell(name)) for name in ("a", "b"))
    lean, same = Table("key", "title", "", columns, rows).split()
    assert [column.key for column in lean.columns] == ["model", "pass@1", "state"]
    assert same == {"seconds": "9"}


def test_a_cell_tells_the_script_only_what_its_text_does_not() -> None:
    assert cells.count(12_345_678).told == ""
    assert cells.percent(0.35).told == "0.35"
    assert cells.percent({"value": 1 / 3, "ci95": (0.2, 2 / 3)}).ends == "0.2 0.666667"
    assert Cell("2 min", 123_456_789.0).told == "123456789"
    assert Cell("–").told == Cell("–").ends == ""
