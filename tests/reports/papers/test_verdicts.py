"""Published beside ours: the verdict of each cell, and why a cell was not run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from evals import protocols
from evals.base.errors import UsageError
from evals.scores import Scores
from evals.stats.metrics import QuestionStats, Vote
from reports import export
from reports.collect import collect
from reports.papers import feasibility, published, verdicts

MODEL = "DeepSeek-R1-Distill-Qwen-1.5B"


def _record(folder: Path, correct: list[int], k: int, protocol: str | None = "r1") -> None:
    """AIME 2024, with so many correct samples of each question."""
    questions = tuple(
        QuestionStats(f"q{i}", k, c, (Vote("1", c, True), Vote("2", k - c, False)))
        for i, c in enumerate(correct)
    )
    recorded = None if protocol is None else {"name": protocol}
    Scores("aime24", questions, "none needed", protocol=recorded).write(folder / "aime24")


def _judged(table: str, folders: Sequence[Path] = ()) -> list[verdicts.Reproduced]:
    return verdicts.judge(verdicts.cells_of(table), collect(folders))


def _cell(cells: list[verdicts.Reproduced], model: str, benchmark: str, metric: str) -> verdicts.Reproduced:
    return next(
        c
        for c in cells
        if (c.published.model, c.published.benchmark, c.published.metric) == (model, benchmark, metric)
    )


def _half_solved(share: float) -> list[int]:
    return [round(64 * share)] * 30


def test_the_four_tables_are_known() -> None:
    assert {"table2", "table4", "table5", "table6"} <= set(published.table_names(published.published()))
    with pytest.raises(UsageError, match=r"unknown table 'table3'; accepted: .*table2"):
        _judged("table3")


def test_figures_that_sampling_explains_agree_and_others_differ(tmp_path: Path) -> None:
    published = 28.9
    for name, share, verdict in (("near", 0.29, "agrees"), ("far", 0.40, "differs")):
        folder = tmp_path / name / f"eval-{MODEL}"
        _record(folder, _half_solved(share), 64)
        cell = _cell(_judged("table5", [folder]), MODEL, "AIME 2024", "pass@1")
        assert cell.published.value == str(published)
        assert cell.verdict == verdict
        assert (cell.questions, cell.samples) == (30, 64)
        error = json.loads((folder / "aime24/scores.json").read_text())["pass@1"]["stderr_benchmark"]
        reach = 1.96 * 2**0.5 * error + 0.0005
        assert cell.ours.value is not None
        assert (abs(cell.ours.value - published / 100) <= reach) is (verdict == "agrees")


def test_consensus_is_judged_by_our_interval(tmp_path: Path) -> None:
    _record(tmp_path / MODEL, [60] * 15 + [4] * 15, 64)
    cell = _cell(_judged("table5", [tmp_path / MODEL]), MODEL, "AIME 2024", "cons@64")
    assert cell.ours.text == "50.0"
    assert cell.verdict == "agrees"


@pytest.mark.parametrize(
    ("correct", "k", "protocol", "why"),
    [
        ([3] * 10, 64, "r1", "only 10 of 30 questions"),
        ([1] * 30, 8, "r1", "cons@64 needs more than the 8 samples"),
    ],
)
def test_what_is_not_the_same_measurement_is_not_judged(
    tmp_path: Path, correct: list[int], k: int, protocol: str, why: str
) -> None:
    _record(tmp_path / MODEL, correct, k, protocol)
    cell = _cell(_judged("table5", [tmp_path / MODEL]), MODEL, "AIME 2024", "cons@64")
    assert cell.verdict == "not run"
    assert why in cell.why


def test_every_cell_without_a_recording_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = feasibility.Machine(gib=16.0, flops=1e12, device="processor")
    monkeypatch.setattr(feasibility, "this_machine", lambda: machine)
    for table in ("table2", "table4", "table5", "table6"):
        cells = _judged(table)
        assert cells
        assert all(cell.verdict == "not run" and cell.why for cell in cells)
    cells = _judged("table5")
    assert "not published" in _cell(cells, "GPT-4o-0513", "MATH-500", "pass@1").why
    big = _cell(cells, "DeepSeek-R1-Distill-Qwen-32B", "MATH-500", "pass@1")
    assert "61 GiB in bfloat16, this machine has 16 GiB" in big.why
    # 500 questions × 4 samples × 32768 tokens × 2 × 1.78e9 operations = 2.33e17: 64.8 hours at 1e12 a second
    slow = _cell(cells, MODEL, "MATH-500", "pass@1")
    assert "would take this processor 3 days (up to 65.5 million tokens, 2.3e+17 FLOPs" in slow.why
    assert "not measured by this program" in _cell(cells, MODEL, "Codeforces", "rating").why


def test_a_benchmark_whose_data_are_not_here_says_so_unless_the_model_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    machine = feasibility.Machine(gib=16.0, flops=1e15, device="processor")
    monkeypatch.setattr(feasibility, "this_machine", lambda: machine)
    cells = _judged("table5")
    assert "livecodebench.jsonl is missing" in _cell(cells, MODEL, "LiveCodeBench", "pass@1").why
    big = _cell(cells, "DeepSeek-R1-Distill-Llama-70B", "LiveCodeBench", "pass@1")
    assert big.why == "its weights take 132 GiB in bfloat16, this machine has 16 GiB"


def test_what_the_machine_can_do_is_named_as_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = feasibility.Machine(gib=80.0, flops=5e14, device="accelerator")
    monkeypatch.setattr(feasibility, "this_machine", lambda: machine)
    assert "--benchmarks math500" in _cell(_judged("table5"), MODEL, "MATH-500", "pass@1").why


def test_recordings_without_a_protocol_are_judged_and_said_to_be_so(tmp_path: Path) -> None:
    _record(tmp_path / MODEL, _half_solved(0.29), 64, protocol=None)
    cell = _cell(_judged("table5", [tmp_path / MODEL]), MODEL, "AIME 2024", "pass@1")
    assert cell.verdict == "agrees"
    assert "protocol is not recorded" in cell.why


@pytest.mark.parametrize(
    ("protocol", "verdict", "told"),
    [
        (protocols.get("r1"), "agrees", "points"),
        (protocols.get("r1").changed(name="experiment"), "agrees", "points"),
        (protocols.get("greedy").changed(name="r1"), "not judged", "temperature 0.0 instead of 0.6"),
        (
            protocols.get("r1").changed(max_tokens=900, name="r1"),
            "not judged",
            "max_tokens 900 instead of 32768",
        ),
        (
            protocols.get("r1").changed(template="r1-zero", name="r1"),
            "not judged",
            "template r1-zero instead of",
        ),
    ],
)
def test_a_verdict_goes_by_what_was_sampled_whatever_it_is_called(
    tmp_path: Path, protocol: protocols.Protocol, verdict: str, told: str
) -> None:
    _record(tmp_path / MODEL, _half_solved(0.29), 64)
    path = tmp_path / MODEL / "aime24" / "scores.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "protocol": protocol.as_dict()}))
    cell = _cell(_judged("table5", [tmp_path / MODEL]), MODEL, "AIME 2024", "pass@1")
    assert cell.verdict == verdict
    assert told in cell.why
    assert cell.ours.value == pytest.approx(0.29, abs=0.02)  # it is shown, judged or not


def test_what_is_shown_and_not_judged_is_counted_and_drawn_as_such(tmp_path: Path) -> None:
    _record(tmp_path / MODEL, [1] * 30, 64, "greedy")
    cells = _judged("table5", [tmp_path / MODEL])
    cell = _cell(cells, MODEL, "AIME 2024", "pass@1")
    assert (cell.verdict, cell.why) == ("not judged", "recorded under the protocol greedy, not r1")
    assert (
        "0 agree, 0 differ, 2 were not judged, 58 were not run" in verdicts.as_table("table5", cells).caption
    )
    figure = verdicts.as_figure("table5", cells)
    assert figure is not None
    assert "ours, not judged" in [entry.label for entry in figure.legend]


def test_a_protocol_of_which_only_the_name_is_recorded_is_said_to_be_so(tmp_path: Path) -> None:
    _record(tmp_path / MODEL, _half_solved(0.29), 64)
    cell = _cell(_judged("table5", [tmp_path / MODEL]), MODEL, "AIME 2024", "pass@1")
    assert "of the protocol only the name is recorded" in cell.why


def test_the_table_exports(tmp_path: Path) -> None:
    _record(tmp_path / MODEL, _half_solved(0.40), 64)
    cells = _judged("table5", [tmp_path / MODEL])
    table = verdicts.as_table("table5", cells)
    assert "0 agree, 2 differ, 58 were not run" in table.caption  # pass@1 and cons@64
    assert f"| {MODEL} | AIME 2024 | pass@1 | 28.9 | 40.6 [" in export.to_markdown(table)
    assert len(export.to_csv(table).splitlines()) == len(cells) + 1
