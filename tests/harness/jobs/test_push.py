"""What is sent to the hub: the model with its card, and nothing of the trainer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, ModelCard

from evals.base import io
from evals.base.errors import JobError, UsageError
from harness import config
from harness.config import dump_toml
from harness.jobs import push
from harness.models.policy import load_policy, policy_hash, save_policy

RAW = {
    "name": "mine",
    "policy": {"model": "tiny"},
    "data": {"train": ["tiny-math:train[:4]"], "dev": ["tiny-math:dev[:4]"]},
    "stages": [{"kind": "grpo", "steps": 1, "completions_per_step": 8, "group_size": 4}],
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of no steps whose checkpoint was measured, beside a measurement of other weights."""
    folder = tmp_path / "run"
    experiment = config.validate(RAW, "here")
    io.write_text(folder / "experiment.toml", dump_toml(experiment))
    io.write_text(folder / "metrics.jsonl", "")
    io.write_text(folder / "status.json", json.dumps({"state": "done"}))
    checkpoint = folder / "checkpoints" / "step-1"
    policy = load_policy(config.Policy(model="tiny", device="cpu"))
    save_policy(policy, checkpoint)
    for name in ("trainer.pt", "checksums.json"):
        io.write_text(checkpoint / name, "{}")
    _measured(folder / "evals" / "final" / "math", policy_hash(policy.model, policy.tokenizer), tmp_path)
    _measured(folder / "evals" / "other" / "math", "another", tmp_path)
    return folder


def _measured(folder: Path, model: str, aside: Path) -> None:
    from evals.recorded import score_file

    rows = [{"id": str(n), "question": f"{n}?", "gold": "1", "response": "\\boxed{1}"} for n in range(4)]
    file = aside / "rows.jsonl"
    io.write_lines(file, rows)
    score_file(file, "math", folder.parent)
    scores = io.read_json(folder / "scores.json")
    io.write_json(folder / "scores.json", {**scores, "model": model})


def test_a_dry_run_writes_what_would_be_sent(run: Path, tmp_path: Path) -> None:
    folder = push.write_folder(run, "me/mine", tmp_path / "hub")
    sent = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    wanted = {"README.md", "report.html", "experiment.toml", "model.safetensors", "config.json"}
    assert wanted | {"evals/math/scores.json", "evals/math/samples.jsonl"} <= sent
    assert not {"trainer.pt", "checksums.json"} & sent
    card = ModelCard.load(folder / "README.md")
    [result] = card.data.eval_results
    assert (card.data.model_name, result.dataset_name, result.metric_value) == ("mine", "math", 100.0)
    assert "| `math` | 4 | 1 | 100.0% |" in card.text
    load_policy(config.Policy(model=str(folder), device="cpu"))


def test_scores_of_other_weights_are_left_out(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "evals" / "final")
    card = ModelCard.load(push.write_folder(run, "me/mine", tmp_path / "hub") / "README.md")
    assert card.data.eval_results is None
    assert "Not measured." in card.text


def test_the_folder_is_uploaded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def upload(_self: HfApi, **given: Any) -> None:
        calls.append((given["repo_id"], (given["folder_path"] / "README.md").is_file()))

    monkeypatch.setattr(HfApi, "create_repo", lambda _self, name, **_given: f"https://hub/{name}")
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    assert push.push(run, "me/mine") == "https://hub/me/mine"
    assert calls == [("me/mine", True)]


def test_bad_words_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected OWNER/NAME"):
        push.write_folder(run, "mine", tmp_path / "hub")
    with pytest.raises(UsageError, match="already exists"):
        push.write_folder(run, "me/mine", tmp_path)
    with pytest.raises(UsageError, match="not the folder of a run or sweep"):
        push.write_folder(tmp_path, "me/mine", tmp_path / "hub")


def test_a_hub_out_of_reach_is_said_in_a_sentence(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push.huggingface_hub, "HfApi", lambda: HfApi("http://127.0.0.1:9", token="hf_secret"))
    with pytest.raises(JobError, match="me/mine was not uploaded: ") as said:
        push.push(run, "me/mine")
    assert "hf_secret" not in str(said.value)
