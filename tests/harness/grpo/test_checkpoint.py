"""Checkpoints: whole or not there, and damage is seen."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.config import GRPO
from harness.errors import JobError
from harness.grpo import checkpoint
from harness.policy import Policy, weights_hash


def write(folder: Path, step: int, policy: Policy, keep: int = 2, **state: Any) -> Path:
    return checkpoint.write(folder, step, policy, state, keep)


def test_a_checkpoint_is_a_hugging_face_folder(tiny_random_policy: Policy, tmp_path: Path) -> None:
    path = write(tmp_path, 3, tiny_random_policy)
    model = AutoModelForCausalLM.from_pretrained(path)
    assert weights_hash(model) == weights_hash(tiny_random_policy.model)
    tokenizer = AutoTokenizer.from_pretrained(path)
    text = "User: 2+2?\nAssistant:<think>"
    assert tokenizer(text)["input_ids"] == tiny_random_policy.tokenizer(text)["input_ids"]


def test_reading_restores_weights_state_and_every_random_state(
    tiny_random_policy: Policy, tmp_path: Path
) -> None:
    def draw() -> tuple[float, float, float, float]:
        return random.gauss(0, 1), random.random(), np.random.normal(), float(torch.rand(()))

    before = weights_hash(tiny_random_policy.model)
    checkpoint.seed_everything(5)
    draw()  # leaves a cached second normal number in python's and numpy's states
    path = write(tmp_path, 3, tiny_random_policy, counter=7, tensors={"a": torch.arange(3)})
    drawn = draw()
    with torch.no_grad():
        for parameter in tiny_random_policy.model.parameters():
            parameter.add_(1)
    state = checkpoint.read(path, tiny_random_policy.model)
    assert weights_hash(tiny_random_policy.model) == before
    assert (state["step"], state["counter"]) == (3, 7)
    assert torch.equal(state["tensors"]["a"], torch.arange(3))
    assert draw() == drawn


def test_only_the_newest_stay(tiny_random_policy: Policy, tmp_path: Path) -> None:
    for step in (2, 9, 10, 11):
        write(tmp_path, step, tiny_random_policy, keep=2)
    assert checkpoint.steps(tmp_path) == [10, 11]
    assert checkpoint.newest(tmp_path) == tmp_path / "step-11"


@pytest.mark.parametrize("name", ["model.safetensors", "trainer.pt", "config.json", "checksums.json"])
@pytest.mark.parametrize("how", ["cut", "flip", "delete"])
def test_damage_is_seen_and_the_one_before_used(
    tiny_random_policy: Policy,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    how: str,
) -> None:
    write(tmp_path, 1, tiny_random_policy)
    file = write(tmp_path, 2, tiny_random_policy) / name
    data = bytearray(file.read_bytes())
    if how == "delete":
        file.unlink()
    elif how == "cut":
        file.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    assert checkpoint.newest(tmp_path) == tmp_path / "step-1"
    assert "step-2: damaged" in caplog.text
    assert write(tmp_path, 2, tiny_random_policy) == checkpoint.newest(tmp_path)


def test_a_half_written_checkpoint_is_none(tiny_random_policy: Policy, tmp_path: Path) -> None:
    (tmp_path / ".step-4.tmp").mkdir()
    assert checkpoint.newest(tmp_path) is None
    write(tmp_path, 4, tiny_random_policy)
    assert [path.name for path in tmp_path.iterdir()] == ["step-4"]


def test_a_full_disk_leaves_the_one_before(
    tiny_random_policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1, tiny_random_policy)

    def full(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(JobError, match=r"step-2.*No space left"):
        write(tmp_path, 2, tiny_random_policy)
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_a_state_of_another_kind_is_refused(tiny_random_policy: Policy, tmp_path: Path) -> None:
    path = write(tmp_path, 1, tiny_random_policy)
    (path / "trainer.pt").write_bytes(b"not a state")
    with pytest.raises(JobError, match="step-1"):
        checkpoint.read(path, tiny_random_policy.model)


def keeper(folder: Path, **settings: Any) -> checkpoint.Keeper:
    return checkpoint.Keeper(folder, GRPO(keep_checkpoints=1, keep_best=True, **settings))


def test_the_best_stays_beside_the_newest(tiny_random_policy: Policy, tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    for step, value in enumerate([0.1, 0.4, 0.4, None, 0.3], start=1):
        metrics = {} if value is None else {"dev/pass@1": value}
        kept.after(step, metrics, tiny_random_policy, dict, due=step > 2)
    assert checkpoint.steps(tmp_path) == [2, 5]
    assert (tmp_path / "best").resolve() == tmp_path / "step-2"
    kept.after(6, {"dev/pass@1": 0.5}, tiny_random_policy, dict, due=False)
    assert checkpoint.steps(tmp_path) == [6]
    assert (tmp_path / "best").resolve() == tmp_path / "step-6"


def test_a_resumed_run_knows_its_best(tiny_random_policy: Policy, tmp_path: Path) -> None:
    first = keeper(tmp_path)
    first.after(1, {"dev/pass@1": 0.4}, tiny_random_policy, dict, due=True)
    first.after(2, {"dev/pass@1": 0.9}, tiny_random_policy, dict, due=True)
    again = keeper(tmp_path)
    again.resume(checkpoint.read(tmp_path / "step-2", tiny_random_policy.model))
    again.after(3, {"dev/pass@1": 0.8}, tiny_random_policy, dict, due=True)
    assert checkpoint.steps(tmp_path) == [2, 3]

    (tmp_path / "best").unlink()
    again.resume({"best": {"step": 3, "value": 0.8}})
    assert (tmp_path / "best").resolve() == tmp_path / "step-3"
