"""Registries: where a name is looked up, what is refused and in which words."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from evals.base import registry as registry_module
from evals.base.errors import UsageError
from evals.base.registry import Registry, load_target, settings_of


class Scale(BaseModel):
    factor: float = Field(1.0, gt=0)
    shift: float = 0.0


def scaled() -> None:
    """A thing with settings."""


scaled.Settings = Scale  # type: ignore[attr-defined]


@pytest.fixture
def registry() -> Registry:
    return Registry("reward", "harness.none", {"square": "math:sqrt", "broken": "no_such_module:x"})


def test_built_in_added_module_and_file(registry: Registry, tmp_path: Path) -> None:
    import math

    registry.add("mine", scaled)
    file = tmp_path / "own rewards.py"
    file.write_text("from __future__ import annotations\ndef short(): return 7\n")
    assert registry.get("square") is math.sqrt
    assert registry.get("mine") is scaled
    assert registry.get("math:floor") is math.floor
    assert registry.get(f"{file}:short")() == 7
    assert registry.get(f"{file}:short") is registry.get(f"{file}:short")
    assert registry.names() == ["square", "broken", "mine"]


def test_entry_points_come_after_what_is_built_in(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    import math

    points = {
        name: EntryPoint(name, target, "harness.none")
        for name, target in {"square": "math:cos", "wave": "math:sin", "bad": "math:nothing"}.items()
    }
    monkeypatch.setattr(registry_module, "_offered", lambda _: points)
    assert registry.get("square") is math.sqrt
    assert registry.get("wave") is math.sin
    assert [plugin.name for plugin in registry.plugins()] == ["square", "broken", "bad", "wave"]
    with pytest.raises(UsageError, match=r"'bad' of .* cannot be loaded"):
        registry.get("bad")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sqare", r"unknown reward 'sqare'; did you mean 'square'\? accepted: square, broken"),
        ("broken", "cannot be imported: No module named"),
        ("math:flor", r"has no 'flor'; did you mean 'floor'\?"),
        ("nowhere.py:x", "'nowhere.py': no such file"),
        (":x", 'must be "file.py:name" or "module:name"'),
        ("math:", 'must be "file.py:name" or "module:name"'),
    ],
)
def test_what_is_not_there_is_one_sentence(registry: Registry, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        registry.get(name)


def test_a_file_that_fails_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "late.py"
    file.write_text("raise RuntimeError('not yet')")
    with pytest.raises(UsageError, match="cannot be imported: not yet"):
        load_target(f"{file}:x", "loss")
    file.write_text("x = 1")
    assert load_target(f"{file}:x", "loss") == 1
    assert not [name for name in sys.modules if name == "late"]


def test_names_that_cannot_be_added(registry: Registry) -> None:
    for name in ("square", "a:b"):
        with pytest.raises(UsageError, match="cannot be added"):
            registry.add(name, scaled)


def test_settings(registry: Registry) -> None:
    assert settings_of(scaled, {"factor": 2}, "rewards.mine") == Scale(factor=2.0)
    assert settings_of(len, {}, "rewards.len") is None
    for thing, raw, said in [
        (scaled, {"factr": 2}, r"rewards.mine: unknown key 'factr'; did you mean 'factor'\?"),
        (scaled, {"factor": 0}, r"rewards.mine.factor: Input should be greater than 0"),
        (len, {"factor": 1}, "rewards.mine: takes no settings, got factor"),
    ]:
        with pytest.raises(UsageError, match=said):
            settings_of(thing, raw, "rewards.mine")
