"""`harness status`: what is below a folder, a line each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness.cli import main


def run_folder(folder: Path, state: str, reason: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"step": 3, "stage": "grpo", "time": 1.0, "dev/pass@1": 0.25}\n')
    (folder / "status.json").write_text(json.dumps({"state": state, "reason": reason, "time": 1.0}))
    return folder


def called(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["harness", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


def test_each_run_has_a_line_and_json_has_them_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder(tmp_path / "first", "done")
    run_folder(tmp_path / "nested" / "second", "failed", "no memory left")
    code, out, _ = called(capsys, "status", tmp_path, "--json")
    assert code == 0
    found = {Path(row["folder"]).name: row for row in json.loads(out)}
    assert {name: row["state"] for name, row in found.items()} == {"first": "done", "second": "failed"}
    assert found["second"]["reason"] == "no memory left"
    assert all(row["kind"] == "run" for row in found.values())
    code, out, _ = called(capsys, "status", tmp_path)
    assert code == 0
    assert "no memory left" in out
    code, out, _ = called(capsys, "status", tmp_path, "--running", "--json")
    assert (code, json.loads(out)) == (0, [])


def test_what_training_was_warned_of_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(tmp_path / "one", "done")
    with (run / "metrics.jsonl").open("a") as handle:
        handle.write('{"step": 4, "stage": "grpo", "time": 2.0, "kl": 7.5}\n')
    _, out, _ = called(capsys, "status", run, "--json")
    [[told]] = [row["advice"] for row in json.loads(out)]
    assert told.startswith("step 4: KL 7.5 nats")
    assert told in called(capsys, "status", run)[1]


def test_a_single_run_is_named_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(tmp_path / "one", "done")
    _, out, _ = called(capsys, "status", run, "--json")
    [row] = json.loads(out)
    assert (row["folder"], row["state"]) == (str(run), "done")


def test_a_folder_without_anything_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "status", tmp_path)[0] == 2
    code, _, err = called(capsys, "status", tmp_path / "nowhere")
    assert (code, "no such folder" in err) == (2, True)
