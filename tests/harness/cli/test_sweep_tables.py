"""What a sweep prints when it has ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.scores import Scores
from evals.stats.metrics import QuestionStats
from harness.cli.sweep_tables import sweep_result
from harness.jobs.sweep import SweepResult
from harness.sweep.summary import Summary
from reports.page import Report


def test_benchmarks_have_a_table_where_any_was_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = {"name": "x", "objective": "dev/pass@1", "direction": "maximize", "trials": []}
    summary = Summary.model_validate({**told, "selection": {"verdict": "No trial was confirmed."}})

    def said(scores: dict[str, list[Scores]]) -> str:
        sweep_result(SweepResult(tmp_path, summary, scores, Report(tmp_path / "report.html")))
        return capsys.readouterr().out

    questions = tuple(QuestionStats(f"q{number}", 4, 2) for number in range(9))
    measured = Scores("aime", questions, "none needed", votes=False)
    assert "pass@1" in said({"base": [measured]})
    none = said({"base": []})
    assert "pass@1" not in none
    assert "report.html" in none
