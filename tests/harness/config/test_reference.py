"""The reference of settings and the JSON schema: current, whole, and right about the experiments at hand."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.config.reference import json_schema, json_schema_text, markdown

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs" / "reference"
STALE = "is not what the code says now: run `make reference` (python scripts/reference.py) and commit it"


def test_the_committed_schema_is_current() -> None:
    committed = (REFERENCE / "experiment.schema.json").read_text(encoding="utf-8")
    assert committed == json_schema_text(), f"docs/reference/experiment.schema.json {STALE}"


def test_the_committed_page_is_current() -> None:
    committed = (REFERENCE / "config.md").read_text(encoding="utf-8")
    assert committed == markdown(), f"docs/reference/config.md {STALE}"


def test_every_key_says_what_it_means() -> None:
    schema = json_schema()
    silent = [
        f"{name}.{key}"
        for name, table in {"Experiment": schema, **schema["$defs"]}.items()
        for key, value in table["properties"].items()
        if not value.get("description")
    ]
    assert not silent


def test_every_table_has_its_section() -> None:
    page = markdown()
    assert all(f"\n## {name}\n" in page for name in json_schema()["$defs"])


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.toml")), ids=lambda path: path.stem)
def test_the_schema_accepts_what_the_harness_accepts(path: Path) -> None:
    jsonschema.validate(tomllib.loads(path.read_text(encoding="utf-8")), json_schema())


def experiment(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "policy": {"model": "tiny"}, "data": {"train": "gsm8k:train"}, **changes}


@pytest.mark.parametrize(
    "stage",
    [
        {"epsilon": 0.2, "rewards": {"accuracy": 1.0, "format": {"weight": 0.5}}},
        {"name": "first"},
        {"kind": "evaluate", "name": "between"},
        {"kind": "reject", "data": "gsm8k:train"},
    ],
)
def test_short_forms_are_in_the_schema(stage: dict[str, Any]) -> None:
    jsonschema.validate(experiment(stages=[stage]), json_schema())


@pytest.mark.parametrize(
    "stage", [{"grop_size": 8}, {"group_size": 1}, {"kind": "ppo"}, {"data": "tiny-traces"}, {"beta": "high"}]
)
def test_the_schema_refuses_what_the_harness_refuses(stage: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(experiment(stages=[stage]), json_schema())
