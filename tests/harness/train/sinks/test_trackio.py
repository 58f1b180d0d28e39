"""Trackio as a sink, read back from its local storage by its own code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trackio", reason="Trackio is not installed (the extra `trackio`)")

LAUNCH = """
import sys
from pathlib import Path
from harness.config import Tracking
from harness.train.tracker import Tracker
folder, steps = Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3]))
settings = Tracking.model_validate({"wandb": "off", "also": ["trackio"], "project": "ours", "tags": ["t"]})
one = Tracker(settings, folder, name="run", group="study", kind="train", config={"grpo.beta": 0.1})
for step in steps:
    one.log({"step": step, "stage": "grpo", "reward": step / 4})
one.summary({"best/dev/pass@1": 0.5})
one.close()
"""
READ = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage
found = {name: [SQLiteStorage.get_run_config("ours", name), SQLiteStorage.get_logs("ours", name)]
         for name in SQLiteStorage.get_runs("ours")}
print(json.dumps(found, default=str))
"""


def run(place: Path, program: str, *words: object) -> str:
    """In a process of its own: Trackio reads where its storage is when it is imported."""
    import os

    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        env={**os.environ, "TRACKIO_DIR": str(place), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert "is off from here on" not in done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_resumed_run_is_one_run_and_repeats_nothing(tmp_path: Path) -> None:
    folder, storage = tmp_path / "run", tmp_path / "storage"
    folder.mkdir()
    assert run(storage, LAUNCH, folder, 1, 4) == ""  # nothing on the standard output
    run(storage, LAUNCH, folder, 3, 6)
    other = tmp_path / "other"
    other.mkdir()
    run(storage, LAUNCH, other, 1, 2)
    found = json.loads(run(storage, READ))
    assert len(found) == 2
    name = json.loads((folder / "trackio.json").read_text())["name"]
    config, logs = found[name]
    assert [(row["step"], row["reward"]) for row in logs if "reward" in row] == [
        (step, step / 4) for step in range(1, 6)
    ]
    assert config["grpo.beta"] == 0.1
    assert config["tags"] == ["t"]
    assert [row["step"] for row in logs if "best/dev/pass@1" in row] == [3, 5]
