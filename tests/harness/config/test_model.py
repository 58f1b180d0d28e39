"""The policy's table: a revision may stand in the model's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from harness import config


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("Qwen/Qwen2.5-1.5B@989aa79", ("Qwen/Qwen2.5-1.5B", "989aa79")),
        ("owner/name@refs/pr/3", ("owner/name", "refs/pr/3")),
        ("owner/name", ("owner/name", None)),
        ("/data/user@host/model", ("/data/user@host/model", None)),
        ("smollm2", ("smollm2", None)),
    ],
)
def test_a_hub_id_may_name_its_revision(model: str, wanted: tuple[str, str | None]) -> None:
    policy = config.Policy(model=model)
    assert (policy.model, policy.revision) == wanted
    assert config.Policy.model_validate(policy.model_dump()) == policy


def test_a_folder_with_such_a_name_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a@b").mkdir(parents=True)
    assert config.Policy(model="runs/a@b").revision is None


def test_two_revisions_are_refused() -> None:
    assert config.Policy(model="owner/name@a", revision="a").revision == "a"
    with pytest.raises(ValidationError, match="model names a, and revision b"):
        config.Policy(model="owner/name@a", revision="b")
