"""Folders that no model can be loaded from: one sentence, with what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from evals.base.errors import UsageError
from harness import config
from harness.models.policy import Policy, load_policy, save_policy

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture
def folder(tiny_random_policy: Policy, tmp_path: Path) -> Path:
    save_policy(tiny_random_policy, tmp_path / "policy")
    return tmp_path / "policy"


def said(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load_policy(config.Policy(model=str(folder), device="cpu"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def shard(folder: Path, policy: Policy) -> None:
    (folder / "model.safetensors").unlink()
    policy.model.save_pretrained(folder, max_shard_size="100KB")


def test_a_sharded_bfloat16_folder_loads(folder: Path, tiny_random_policy: Policy) -> None:
    tiny_random_policy.model.to(torch.bfloat16)
    shard(folder, tiny_random_policy)
    assert len(list(folder.glob("*.safetensors"))) > 1
    loaded = load_policy(config.Policy(model=str(folder), device="cpu")).model
    assert loaded.dtype == torch.float32
    for name, tensor in tiny_random_policy.model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.float())


def test_a_missing_shard_is_named(folder: Path, tiny_random_policy: Policy) -> None:
    shard(folder, tiny_random_policy)
    lost = sorted(folder.glob("*.safetensors"))[1]
    lost.unlink()
    assert f"1 weight files are missing, for example {lost.name}" in said(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_what_git_leaves_without_lfs_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text(POINTER, encoding="utf-8")
    assert said(folder) == (
        f"{folder / name}: is a Git LFS pointer, not the file itself; run `git lfs pull` in {folder}"
    )


@pytest.mark.parametrize(
    ("kept", "wanted"),
    [(-1, "truncated after"), (100, "truncated within its header"), (4, "truncated within its header")],
)
def test_a_cut_file_says_so(folder: Path, kept: int, wanted: str) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:kept])
    sentence = said(folder)
    assert wanted in sentence
    assert "copy or download it again" in sentence
    if kept == -1:
        assert f"truncated after {len(whole) - 1:,} of {len(whole):,} bytes" in sentence


def test_bytes_that_are_no_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((4).to_bytes(8, "little") + b"text and more")
    assert "not a valid safetensors file" in said(folder)


def test_an_index_that_is_none(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text("[]", encoding="utf-8")
    assert "not a valid index of weight files" in said(folder)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"model.safetensors": b""}, "has weights but no config.json; copy config.json"),
        ({"params.json": b"{}", "consolidated.00.pth": b""}, "use the Hugging Face version of the model"),
        ({}, "no config.json; expected a model in Hugging Face format"),
        ({"config.json": b"{}"}, "no weights (*.safetensors)"),
        ({"config.json": b"{}", "pytorch_model.bin": b""}, "pickled (pytorch_model.bin)"),
    ],
)
def test_half_a_folder_is_told_what_it_lacks(tmp_path: Path, files: dict[str, bytes], wanted: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert wanted in said(tmp_path)


@pytest.mark.parametrize("known_as", ["AutoConfig", "AutoModelForCausalLM"])
def test_code_in_a_folder_is_refused_and_nobody_is_asked(
    folder: Path, known_as: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    file = folder / "config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings |= {"model_type": "own", "auto_map": {known_as: "modeling.Own"}}
    file.write_text(json.dumps(settings), encoding="utf-8")
    (folder / "modeling.py").write_text("raise RuntimeError('it ran')", encoding="utf-8")
    sentence = said(folder)
    assert "its own code (modeling.Own)" in sentence
    assert "policy.trust_remote_code" in sentence
    assert "--trust-remote-code" in sentence


def test_another_models_weights(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    save_file({"a": torch.zeros(2)}, tmp_path / "other" / "model.safetensors", metadata={"format": "pt"})
    assert "weights of the model are missing" in said(tmp_path / "other")
