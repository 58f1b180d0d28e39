"""Attempts on disk: what the next one takes over, what counts against a job, what a growing file says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evals.base.errors import UsageError
from harness.sweep import attempts
from harness.sweep.attempts import Attempt, Outcome, Progress, Pruned, attempts_of, hopeless, prepare
from harness.sweep.evaluation import Evaluation
from harness.train.run_dir import lock_folder


def checkpoint(folder: Path, step: int) -> None:
    (folder / f"checkpoints/step-{step}").mkdir(parents=True)
    (folder / f"checkpoints/step-{step}/weights").write_text(str(step))


def write_rows(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_next_attempt_takes_over_what_a_reject_stage_made(tmp_path: Path) -> None:
    first = prepare(tmp_path, 0, 0.0)
    (first.folder / "data").mkdir()
    (first.folder / "data" / "kept.jsonl").write_text("{}\n")
    second = prepare(tmp_path, 0, 1.0)  # no checkpoint yet: the stage may be the first
    assert (second.folder / "data" / "kept.jsonl").read_text() == "{}\n"


def test_the_next_attempt_takes_over_what_was_sampled_for_benchmarks(tmp_path: Path) -> None:
    first = prepare(tmp_path, 0, 0.0)
    path = "evals/between/aime24/samples.jsonl"
    (first.folder / path).parent.mkdir(parents=True)
    (first.folder / path).write_text("half\n")
    second = prepare(tmp_path, 0, 1.0)  # no checkpoint yet: benchmarks may come before training
    assert (second.folder / path).read_text() == "half\n"
    checkpoint(second.folder, 5)
    third = prepare(tmp_path, 0, 2.0)
    assert (third.folder / path).read_text() == "half\n"


def test_the_next_attempt_takes_over_checkpoints_and_metrics(tmp_path: Path) -> None:
    first = prepare(tmp_path, slot=0, now=100.0)
    assert (first.number, first.start, first.folder.name) == (1, -1, "attempt-1")
    checkpoint(first.folder, 5)
    checkpoint(first.folder, 10)
    write_rows(first.folder / "metrics.jsonl", {"step": 10}, {"step": 11})
    write_rows(first.folder / "samples.jsonl", {"step": 10, "completion": "x"})
    (first.folder / "stop").write_text("enough")
    first.end("died", "killed", 110.0)
    second = prepare(tmp_path, slot=1, now=120.0)
    assert (second.number, second.start, second.slot) == (2, 10, 1)
    assert (second.folder / "checkpoints/step-10/weights").read_text() == "10"
    assert not (first.folder / "checkpoints").exists()
    assert (second.folder / "metrics.jsonl").read_text() == (first.folder / "metrics.jsonl").read_text()
    assert (second.folder / "samples.jsonl").read_text() == (first.folder / "samples.jsonl").read_text()
    assert not (second.folder / "stop").exists()
    assert [a.token for a in attempts_of(tmp_path)] == [first.token, second.token]
    assert first.token != second.token


def test_a_preparation_cut_short_is_done_again(tmp_path: Path) -> None:
    """A kill between moving the checkpoints and writing attempt.json."""
    first = prepare(tmp_path, slot=0, now=0.0)
    checkpoint(first.folder, 3)
    write_rows(first.folder / "metrics.jsonl", {"step": 3})
    first.end("interrupted", "", 1.0)
    second = prepare(tmp_path, slot=0, now=2.0)
    (second.folder / "attempt.json").unlink()
    again = prepare(tmp_path, slot=0, now=3.0)
    assert (again.number, again.start) == (2, 3)
    assert (again.folder / "checkpoints/step-3/weights").exists()


def test_an_attempt_that_is_prepared_again_keeps_what_its_run_wrote(tmp_path: Path) -> None:
    first = prepare(tmp_path, slot=0, now=0.0)
    checkpoint(first.folder, 3)
    write_rows(first.folder / "metrics.jsonl", {"step": 3})
    first.end("died", "", 1.0)
    second = prepare(tmp_path, slot=0, now=2.0)
    write_rows(second.folder / "metrics.jsonl", {"step": 3}, {"step": 4})
    checkpoint(second.folder, 4)
    (second.folder / "attempt.json").write_text("{")
    again = prepare(tmp_path, slot=0, now=3.0)
    assert (again.number, again.start) == (2, 4)
    assert [json.loads(line)["step"] for line in (again.folder / "metrics.jsonl").open()] == [3, 4]


def test_without_a_checkpoint_the_next_attempt_begins_anew(tmp_path: Path) -> None:
    first = prepare(tmp_path, slot=0, now=0.0)
    write_rows(first.folder / "metrics.jsonl", {"step": 1})
    first.end("died", "", 1.0)
    assert not (prepare(tmp_path, slot=0, now=2.0).folder / "metrics.jsonl").exists()


def test_a_folder_still_at_work_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts.time, "sleep", lambda seconds: None)
    first = prepare(tmp_path, slot=0, now=0.0)
    first.end("interrupted", "", 1.0)
    lock = lock_folder(first.folder)
    with pytest.raises(UsageError, match="at work in this folder"):
        prepare(tmp_path, slot=0, now=2.0)
    lock.release()
    assert prepare(tmp_path, slot=0, now=2.0).number == 2


def launches(*ends: tuple[Outcome, str, int]) -> list[Attempt]:
    """Launches in a row: outcome, reason, checkpoint reached."""
    made, start = [], -1
    for number, (outcome, reason, reached) in enumerate(ends, start=1):
        made.append(Attempt(Path(), number, "t", 0, 0.0, start, outcome, reason, 1.0, reached))
        start = max(start, reached)
    return made


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([], None),
        ([("died", "a", -1), ("died", "b", -1)], None),
        ([("died", "a", -1), ("died", "b", -1), ("died", "c", -1)], "c"),
        ([("died", "a", -1), ("died", "b", 5), ("died", "c", 5)], None),  # progress clears the count
        ([("died", "a", -1), ("died", "b", 5), ("died", "c", 5), ("died", "d", 5)], "d"),
        ([("interrupted", "", -1)] * 9, None),  # not the job's fault
        ([("died", "a", -1), ("interrupted", "", -1), ("died", "b", -1), ("died", "c", -1)], "c"),
        ([("failed", "nan", -1), ("failed", "nan", -1)], "nan"),  # the same words twice
        ([("failed", "disk full", -1), ("failed", "nan", -1)], None),
        ([("failed", "nan", -1), ("failed", "nan", 5)], None),
    ],
)
def test_what_counts_against_a_job(ends: list[tuple[Outcome, str, int]], expected: str | None) -> None:
    assert hopeless(launches(*ends), max_attempts=3) == expected


def test_seconds_are_of_all_launches() -> None:
    first, second = launches(("died", "", -1), ("done", "", 5))
    assert attempts.seconds([first, second, Attempt(Path(), 3, "t", 0, 5.0, 5)]) == 2.0


def test_seconds_are_those_of_the_monotonic_clock(tmp_path: Path) -> None:
    """The wall clock was set back a day meanwhile."""
    first = prepare(tmp_path, 0, 100_000.0, devices=2.0).end("died", "", 13_600.0, took=10.0)
    assert (first.seconds, attempts_of(tmp_path)[0].seconds) == (10.0, 10.0)
    assert attempts.device_seconds([first]) == 20.0
    old = Attempt(Path(), 1, "t", 0, 100_000.0, -1, "died", "", 13_600.0)  # as earlier versions wrote it
    assert old.seconds == 0.0


def test_a_launch_whose_record_is_damaged_is_prepared_again(tmp_path: Path) -> None:
    first = prepare(tmp_path, slot=0, now=0.0)
    checkpoint(first.folder, 3)
    first.end("died", "", 1.0)
    second = prepare(tmp_path, slot=0, now=2.0)
    for text in ("{", "[]", "{}", '{"number": "x"}', "\x00\xff"):
        (second.folder / "attempt.json").write_bytes(text.encode("latin-1"))
        assert [a.number for a in attempts_of(tmp_path)] == [1]
        again = prepare(tmp_path, slot=0, now=3.0)
        assert (again.number, again.start, again.token) == (2, 3, attempts_of(tmp_path)[1].token)
    (second.folder / "attempt.json").write_text("{")
    lock = lock_folder(second.folder)  # its process lives, and nobody has its token any more
    with pytest.raises(UsageError, match="at work in this folder"):
        prepare(tmp_path, slot=0, now=4.0)
    lock.release()


def test_a_damaged_decision_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "pruned.json").write_text('{"step": 3')
    with pytest.raises(UsageError, match=r"pruned.json: line 1: is not valid JSON.*delete it"):
        Pruned.read(tmp_path)


def test_progress_passes_over_lines_that_are_no_metrics(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = ["[]", "3", "null", '{"dev/pass@1": 0.9}', '{"step": "x"}', '{"step": null}', "[" * 10_000]
    path.write_text("\n".join([*lines, '{"step": 4, "dev/pass@1": "high"}', '{"step": 5, "kl": [1]}']) + "\n")
    progress = Progress(path, "dev/pass@1", ["kl"])
    progress.refresh()
    assert (progress.step, progress.history, progress.missing, progress.metrics()) == (5, {}, 4, {})


def test_progress_reads_what_is_new_and_only_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    progress = Progress(path, "dev/pass@1")
    assert not progress.refresh()
    write_rows(path, {"step": 0, "dev/pass@1": 0.5, "dev/stderr": 0.1}, {"step": 1, "reward": 1.0})
    with path.open("a") as handle:
        handle.write('{"step": 2, "dev/pass@1": 0.')
    assert progress.refresh()
    assert progress.history == {0: Evaluation(0, 0.5, 0.1)}
    assert progress.step == 1
    assert not progress.refresh()
    with path.open("a") as handle:
        handle.write("75}\n")
    assert progress.refresh()
    assert progress.history[2] == Evaluation(2, 0.75, 0.0)


def test_an_evaluation_knows_the_flops_up_to_it_where_every_step_logs_them(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    steps = [{"step": step, "flops/rollout": 2.0, "flops/update": 10.0 * step} for step in (1, 2, 3)]
    first = ({"step": 0, "dev/pass@1": 0.1}, steps[0], {**steps[1], "dev/pass@1": 0.2}, steps[2])
    write_rows(path, *first, {"step": 4}, {"step": 5, "flops/update": 1.0, "dev/pass@1": 0.3})
    progress = Progress(path, "dev/pass@1")
    progress.refresh()
    assert [(e.step, e.flops) for e in progress.history.values()] == [(0, 0.0), (2, 34.0), (5, 0.0)]


def test_progress_starts_over_when_a_resumed_run_cut_its_metrics_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_rows(path, *({"step": step, "dev/pass@1": 0.1 * step} for step in range(6)))
    progress = Progress(path, "dev/pass@1")
    progress.refresh()
    write_rows(tmp_path / "aside", *({"step": step, "dev/pass@1": 0.1 * step} for step in range(3)))
    (tmp_path / "aside").replace(path)
    progress.refresh()
    assert sorted(progress.history) == [0, 1, 2]
    assert progress.step == 2


def test_progress_keeps_in_mind_an_objective_that_was_no_number(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    progress = Progress(path, "dev/pass@1")
    write_rows(path, {"step": 0, "dev/pass@1": 0.1}, {"step": 2, "dev/pass@1": None})
    progress.refresh()
    assert (progress.missing, sorted(progress.history)) == (2, [0])
    with path.open("a") as handle:
        handle.write('{"step": 4, "dev/pass@1": 0.2}\n')
    progress.refresh()
    assert progress.missing is None


def test_a_line_that_a_kill_cut_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    torn = '{"step": 1, "dev/p{"step": 2, "dev/pass@1": 0.3}'
    path.write_text(f'{{"step": 0, "dev/pass@1": 0.1}}\n{torn}\n{{"step": 3}}\n')
    progress = Progress(path, "dev/pass@1")
    progress.refresh()
    assert sorted(progress.history) == [0]
    assert progress.step == 3


def test_reading_attempts_takes_no_large_library() -> None:
    """Reports and `--status` read them, and shall not wait for what trains."""
    large = {"torch", "optuna", "pandas", "sqlalchemy", "transformers"}
    code = f"import sys, harness.sweep.attempts; print(*{large} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == ""
