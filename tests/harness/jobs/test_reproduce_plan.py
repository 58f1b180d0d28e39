"""A paper's table, measured by running what is missing: resumed, estimated, and told why where it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evals import protocols
from evals.base.errors import UsageError
from evals.base.progress import Progress
from evals.engine import Sampling
from evals.protocols import Protocol
from harness.jobs.reproduce import Reproduction, Settings, run_plan
from harness.models.policy import Policy, save_policy

QUIET = Progress(quiet=True)
HEADING = "table,model,benchmark,metric,value,source,hub,billions,task,samples,questions\n"


def _verdicts(done: Reproduction) -> dict[str, str]:
    return {cell.published.model: cell.verdict for cell in done.cells}


@pytest.fixture
def tiny_plan(
    make_random_policy: Callable[..., Policy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A paper of two models: one that is here, and one that is not; under a protocol of eight tokens."""
    save_policy(make_random_policy(max_position_embeddings=512), tmp_path / "model")
    monkeypatch.setitem(protocols.PRESETS, "r1", Protocol("r1", Sampling(max_tokens=8), "tags"))
    path = tmp_path / "tiny.csv"
    path.write_text(
        f"{HEADING}"
        f"t1,Here,Tiny,pass@1,0.0,us,{tmp_path / 'model'},0.001,tiny-aime,2,30\n"
        f"t1,Gone,Tiny,pass@1,50.0,us,{tmp_path / 'gone'},0.001,tiny-aime,2,30\n"
    )
    return path


def test_what_is_missing_is_run_and_what_is_there_is_not_done_again(tiny_plan: Path, tmp_path: Path) -> None:
    done = run_plan("t1", tmp_path / "out", QUIET, Settings(), [tiny_plan])
    assert _verdicts(done) == {"Here": "agrees", "Gone": "not run"}
    assert "gone" in done.cells[1].why
    samples = tmp_path / "out" / "evals" / "Here" / "tiny-aime" / "samples.jsonl"
    before = samples.stat().st_mtime_ns
    samples.write_bytes(b"".join(samples.read_bytes().splitlines(keepends=True)[:-3]))  # as if killed
    (samples.parent / "scores.json").unlink()
    again = run_plan("t1", tmp_path / "out", QUIET, Settings(), [tiny_plan])
    assert samples.stat().st_mtime_ns != before
    assert [cell.to_json() for cell in again.cells] == [cell.to_json() for cell in done.cells]
    left = samples.stat().st_mtime_ns
    run_plan("t1", tmp_path / "out", QUIET, Settings(), [tiny_plan])
    assert samples.stat().st_mtime_ns == left


def test_what_takes_too_long_is_not_started(tiny_plan: Path, tmp_path: Path) -> None:
    done = run_plan("t1", tmp_path / "out", QUIET, Settings(hours=0.0), [tiny_plan])
    assert {cell.verdict for cell in done.cells} == {"not run"}
    # 30 questions × 2 samples × 8 tokens
    assert "up to 480 tokens" in done.cells[0].why
    assert not (tmp_path / "out" / "evals").exists()


def test_another_length_or_template_is_run_shown_and_not_judged(tiny_plan: Path, tmp_path: Path) -> None:
    changed = Settings(models=("Here",), max_tokens=4, template="plain")
    done = run_plan("t1", tmp_path / "out", QUIET, changed, [tiny_plan])
    assert _verdicts(done) == {"Here": "not judged", "Gone": "not run"}
    assert done.measured == 1
    assert "max_tokens 4 instead of 8" in done.cells[0].why
    assert "template plain instead of tags" in done.cells[0].why
    not_started = Settings(hours=0.0, max_tokens=4)
    asked = run_plan("t1", tmp_path / "other", QUIET, not_started, [tiny_plan])
    assert "up to 240 tokens" in asked.cells[0].why  # 30 questions × 2 samples × 4 tokens
    assert asked.measured == 0


def test_models_can_be_chosen_by_name(tiny_plan: Path, tmp_path: Path) -> None:
    done = run_plan("t1", tmp_path / "out", QUIET, Settings(models=("Here",)), [tiny_plan])
    assert done.cells[1].why == "not selected by --models"
    with pytest.raises(UsageError, match="t1 has no model 'Nobody'; accepted: Here, Gone"):
        run_plan("t1", tmp_path / "out", QUIET, Settings(models=("Nobody",)), [tiny_plan])
