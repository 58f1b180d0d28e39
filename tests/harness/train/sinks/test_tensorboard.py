"""TensorBoard as a sink: event files read back with TensorBoard's own reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.base import io
from harness.config import Tracking
from harness.train.tracker import Tracker

pytest.importorskip("tensorboard", reason="TensorBoard is not installed (the extra `tensorboard`)")


def tracker(folder: Path) -> Tracker:
    settings = Tracking.model_validate({"wandb": "off", "also": ["tensorboard"]})
    config = {"grpo.beta": 0.1, "grpo.rewards.accuracy": 1, "data.train": "tiny-math:train"}
    return Tracker(settings, folder, name="run", group="study", kind="train", config=config)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def row(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "stage": "grpo", "time": 1000.0 + step, "reward": step / 4, "kl": None, **more}


def test_every_line_is_there_once_over_a_resume(tmp_path: Path) -> None:
    io.write_text(tmp_path / "metrics.jsonl", "".join(json.dumps(row(step)) + "\n" for step in (0, 1, 2)))
    first = tracker(tmp_path)
    first.log(row(2))  # was sent when the tracker opened
    first.close()
    second = tracker(tmp_path)
    for step in (2, 3):  # a resume repeats what came after the last checkpoint
        second.log(row(step, **{"dev/pass@1": 0.5}))
    second.close()
    found = scalars(tmp_path)
    assert found["reward"] == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)]
    assert found["dev/pass@1"] == [(3, 0.5)]
    assert not {"stage", "time", "step", "kl"} & found.keys()


def test_a_killed_launch_leaves_a_file_that_is_read_to_its_torn_end(tmp_path: Path) -> None:
    one = tracker(tmp_path)
    one.log(row(1))
    one.log(row(2))
    one.close()
    [path] = (tmp_path / "tensorboard").glob("events.*")
    path.write_bytes(path.read_bytes()[:-5])
    again = tracker(tmp_path)
    again.log(row(3))
    again.close()
    assert (3, 0.75) in scalars(tmp_path)["reward"]


def test_texts_and_the_figures_of_the_end(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    hostile = "a|b`\n# <script>alert(1)</script>"
    sample = {"step": 1, "id": "q", "prompt": "p", "response": hostile, "rewards": {"accuracy": 1.0}}
    io.write_text(tmp_path / "samples.jsonl", json.dumps(sample) + "\n")
    one = tracker(tmp_path)
    one.log(row(1))
    one.completions()
    one.file(tmp_path / "report.html", "report")
    one.summary({"best/dev/pass@1": 0.5, "state": "done"})
    one.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    texts = {
        name: events.Tensors(name)[0].tensor_proto.string_val[0].decode()
        for name in events.Tags()["tensors"]
        if name.endswith("text_summary")
    }
    [table] = [text for name, text in texts.items() if name.startswith("completions")]
    header, _, cells = table.splitlines()
    assert header.startswith("step|id|prompt|response")
    assert "`a\\|b' ⏎ # <script>alert(1)</script>`" in cells
    assert any(str(tmp_path / "report.html") in text for text in texts.values())
    assert scalars(tmp_path)["best/dev/pass@1"][0][1] == 0.5
    assert "_hparams_/session_start_info" in events.summary_metadata
