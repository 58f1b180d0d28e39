"""Checkpoints: whole or not there, and damage is seen."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evals.base.errors import JobError
from harness.config import GRPO
from harness.models.policy import Policy, weights_hash
from harness.train import checkpoint
from harness.train.grpo.reference import make_reference


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
    newest = tmp_path / "step-2"
    again.resume(checkpoint.read(newest, tiny_random_policy.model), newest)
    again.after(3, {"dev/pass@1": 0.8}, tiny_random_policy, dict, due=True)
    assert checkpoint.steps(tmp_path) == [2, 3]

    (tmp_path / "best").unlink()
    again.resume({"best": {"step": 3, "value": 0.8}}, tmp_path / "step-3")
    assert (tmp_path / "best").resolve() == tmp_path / "step-3"


def test_a_best_checkpoint_that_is_gone_is_not_led_to(tiny_random_policy: Policy, tmp_path: Path) -> None:
    write(tmp_path, 15, tiny_random_policy)
    (tmp_path / "best").symlink_to("step-20")
    again = keeper(tmp_path)
    again.resume({"best": {"step": 10, "value": 0.9}}, tmp_path / "step-15")
    assert not (tmp_path / "best").is_symlink()
    again.after(16, {"dev/pass@1": 0.2}, tiny_random_policy, dict, due=False)  # the best of what there is
    assert (tmp_path / "best").resolve() == tmp_path / "step-16"


def test_a_damaged_best_checkpoint_is_not_led_to(tiny_random_policy: Policy, tmp_path: Path) -> None:
    best = checkpoint.write(tmp_path, 2, tiny_random_policy, {}, keep=1, best=True)
    keeper(tmp_path).begin()
    assert (tmp_path / "best").resolve() == best
    (best / "trainer.pt").unlink()
    keeper(tmp_path).begin()
    assert not (tmp_path / "best").is_symlink()


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(
    tiny_random_policy: Policy, tmp_path: Path, depth: int
) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path.joinpath("file", *["deeper"] * depth)
    with pytest.raises(JobError, match=r"step-1: the checkpoint could not be written, with .* MiB free"):
        write(folder, 1, tiny_random_policy)


def test_what_has_not_changed_is_read_once(
    tiny_random_policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, 1, tiny_random_policy)
    for file in path.rglob("*"):
        os.utime(file, (1e9, 1e9))
    assert checkpoint.newest(tmp_path) == path
    read: list[str] = []
    real = checkpoint.hashlib.file_digest

    def counting(handle: Any, how: Any) -> Any:
        read.append(Path(handle.name).name)
        return real(handle, how)

    monkeypatch.setattr(checkpoint.hashlib, "file_digest", counting)
    assert checkpoint.newest(tmp_path) == path
    assert read == []
    weights = path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)  # as long as before
    assert checkpoint.newest(tmp_path) is None
    assert read == ["model.safetensors"]


def test_a_file_that_has_just_changed_is_read_again(tiny_random_policy: Policy, tmp_path: Path) -> None:
    path = write(tmp_path, 1, tiny_random_policy)
    weights = path / "model.safetensors"
    assert checkpoint.damage(path) is None
    before = weights.stat()
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))  # within one tick of the disk's clock
    assert checkpoint.damage(path) == "model.safetensors has changed"


@pytest.mark.parametrize(("keep", "files"), [(1, 1), (3, 2)])
def test_a_reference_is_written_once_until_it_is_refreshed(
    make_random_policy: Callable[..., Policy], tmp_path: Path, keep: int, files: int
) -> None:
    policy, of = (
        make_random_policy(),
        GRPO(beta=0.1, keep_checkpoints=keep, reference={"refresh": "every", "steps": 5}),
    )
    reference = make_reference(policy, of.reference)
    kept = checkpoint.Keeper(tmp_path, of, reference)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(1)
    numbers = {}
    for step in range(1, 9):
        reference.follow(policy.model, step)
        kept.after(step, {}, policy, dict, due=True)
        numbers[step] = (tmp_path / f"step-{step}" / checkpoint.REFERENCE).stat().st_ino
    assert len({numbers[step] for step in (1, 2, 3, 4)}) == files
    assert len({numbers[step] for step in (5, 6, 7, 8)}) == files
    if keep > 1:  # what damages one leaves the one before
        assert all(numbers[step] != numbers[step - 1] for step in range(2, 9))
        newest = tmp_path / "step-8"
        (newest / checkpoint.REFERENCE).write_bytes(b"")
        assert checkpoint.newest(tmp_path) == tmp_path / "step-7"


def test_a_resumed_run_writes_its_reference_no_more_often(
    make_random_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    policy, of = make_random_policy(), GRPO(beta=0.1, keep_checkpoints=9)
    start = weights_hash(policy.model)
    checkpoint.Keeper(tmp_path, of, make_reference(policy, of.reference)).after(1, {}, policy, dict, due=True)

    reference = make_reference(make_random_policy(seed=1), of.reference)
    again, path = checkpoint.Keeper(tmp_path, of, reference), tmp_path / "step-1"
    state = checkpoint.read(path, policy.model)
    again.resume(state, path)
    reference.restore(state["reference"])
    assert weights_hash(reference.model) == start
    for step in (2, 3, 4, 5):
        again.after(step, {}, policy, dict, due=True)
    numbers = [(tmp_path / f"step-{step}/reference.pt").stat().st_ino for step in (1, 2, 3, 4, 5)]
    first, second = numbers[:2]
    assert first != second
    assert numbers == [first, second, first, second, first]
