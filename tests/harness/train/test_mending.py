"""A run whose own files were damaged goes on from what is whole, to the same bits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from evals.base import io
from evals.base.errors import JobError
from evals.base.progress import Progress
from harness import config
from harness.config import SFT, Data, Experiment, Reject
from harness.models.policy import Policy, save_policy
from harness.train import checkpoint
from harness.train.pipeline import run_experiment
from harness.train.status import read_status

NO_NUMBERS = [
    b'{"step": 5, "stage": "sft", "loss": "x"}',
    b'{"step": 5, "stage": ["sft"], "loss": 1.0}',
    b'{"step": 5, "stage": "sft", "tokens": 1' + b"0" * 400 + b"}",
]
CLOCK = ("seconds/", "mfu", "time", "memory_gib")


@pytest.fixture
def experiment(tiny_random_policy: Policy, tmp_path: Path) -> Experiment:
    """Answers kept, then six steps with a checkpoint after every second one."""
    save_policy(tiny_random_policy, tmp_path / "policy")
    learning: dict[str, Any] = {"batch_size": 2, "checkpoint_every": 2, "keep_checkpoints": 2}
    return Experiment(
        name="test",
        policy=config.Policy(model=str(tmp_path / "policy"), template="tags", device="cpu"),
        data=Data(train="tiny-aime:train[:4]"),
        stages=[
            Reject(name="kept", samples=8, max_tokens=60, keep={}, per_question=4),
            SFT(data="kept", steps=6, **learning),
        ],
    )


@pytest.fixture
def whole(experiment: Experiment, tmp_path: Path) -> Path:
    """A run that nothing happened to."""
    assert train(experiment, tmp_path / "whole") == "done"
    return tmp_path / "whole"


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to damage."""
    shutil.copytree(whole, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


def train(experiment: Experiment, folder: Path) -> str:
    return run_experiment(experiment, folder, Progress(quiet=True))


def rows(folder: Path) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if not name.startswith(CLOCK)}
        for row in io.read_lines(folder / "metrics.jsonl")
    ]


def assert_same(mine: Path, theirs: Path) -> None:
    assert rows(mine) == rows(theirs)
    assert checkpoint.steps(mine / "checkpoints") == checkpoint.steps(theirs / "checkpoints") == [4, 6]
    ours, others = (path / "checkpoints/step-6/model.safetensors" for path in (mine, theirs))
    assert ours.read_bytes() == others.read_bytes()
    status = read_status(mine)
    assert status is not None
    assert status.state == "done"


def damage(path: Path, number: int, line: bytes | None) -> None:
    """Puts ``line`` in the place of line ``number``, counted from 1; None cuts the file off there."""
    lines = path.read_bytes().splitlines()
    lines = lines[: number - 1] if line is None else [*lines[: number - 1], line, *lines[number:]]
    path.write_bytes(b"".join(each + b"\n" for each in lines))


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    "line", [b"{", b"\x00\xff", b"[]", b'{"loss": 1}', b'{"step": "5"}', None, *NO_NUMBERS]
)
def test_a_damaged_metric_goes_back_to_the_checkpoint_before_it(
    experiment: Experiment,
    whole: Path,
    run: Path,
    finished: bool,
    line: bytes | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(run / "metrics.jsonl", 5, line)
    if not finished:
        (run / "status.json").unlink()
    assert train(experiment, run) == "done"
    assert "metrics.jsonl" in caplog.text
    assert "goes back to" in caplog.text
    assert_same(run, whole)


@pytest.mark.parametrize("line", [b"{", None])
def test_without_a_checkpoint_before_it_a_sentence_says_so_and_nothing_changes(
    experiment: Experiment, run: Path, line: bytes | None
) -> None:
    damage(run / "metrics.jsonl", 3, line)
    before = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(JobError, match=r"metrics\.jsonl: .* no checkpoint is from before .*--out"):
        train(experiment, run)
    assert (run / "metrics.jsonl").read_bytes() == before
    assert checkpoint.steps(run / "checkpoints") == [4, 6]


def test_with_no_checkpoint_at_all_it_begins_again(experiment: Experiment, whole: Path, run: Path) -> None:
    damage(run / "metrics.jsonl", 2, b"{")
    shutil.rmtree(run / "checkpoints")
    (run / "status.json").unlink()
    assert train(experiment, run) == "done"
    assert_same(run, whole)


@pytest.mark.parametrize("text", ["{", "[]", "", "\x00", "{}", '{"cost": 3}', '{"cost": {"tokens": "x"}}'])
def test_what_a_data_set_cost_is_counted_again(
    experiment: Experiment, whole: Path, run: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    told, kept = run / "data/kept.json", (run / "data/kept.jsonl").read_bytes()
    told.write_text(text)
    (run / "status.json").unlink()
    assert train(experiment, run) == "done"
    assert "kept.json" in caplog.text
    mine, theirs = (io.read_json(folder / "data/kept.json") for folder in (run, whole))
    assert mine == theirs
    assert (run / "data/kept.jsonl").read_bytes() == kept
    assert_same(run, whole)


@pytest.mark.parametrize(
    ("hint", "line"), [("{", '{"st'), ('{"tokens": "x"}', '{"step": 2, "rewards": "x"}')]
)
def test_damaged_hints_and_completions_are_left_out(
    experiment: Experiment, whole: Path, run: Path, hint: str, line: str
) -> None:
    (run / "data/sft.micro-batch.json").write_text(hint)
    (run / "samples.jsonl").write_text(f'{{"step": 1}}\n{line}\n')
    (run / "status.json").unlink()
    assert train(experiment, run) == "done"
    assert list(io.read_lines(run / "samples.jsonl")) == [{"step": 1}]
    assert_same(run, whole)
