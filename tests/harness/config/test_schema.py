"""The JSON schema knows what an experiment file may hold, stage by stage."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from harness.config.reference import json_schema

TEACHER = {"model": "tiny-teacher"}


def experiment(**stage: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "policy": {"model": "tiny"},
        "data": {"train": "tiny-math:train"},
        "stages": [{"kind": "on_policy_distill", **stage}],
    }


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


@pytest.mark.parametrize(
    ("stage", "good"),
    [
        ({"teacher": TEACHER}, True),
        ({"teacher": TEACHER, "divergence": "jsd", "jsd_beta": 0.5, "teacher_top_k": 8}, True),
        ({"teacher": {**TEACHER, "server": "http://localhost:8000/v1"}}, True),
        ({}, False),
        ({"teacher": TEACHER, "divergence": "kl"}, False),
        ({"teacher": TEACHER, "jsd_beta": 2}, False),
        ({"teacher": TEACHER, "epsilon": 0.2}, False),
    ],
)
def test_a_stage_of_on_policy_distillation(
    validator: Draft202012Validator, stage: dict[str, Any], good: bool
) -> None:
    assert validator.is_valid(experiment(**stage)) == good
