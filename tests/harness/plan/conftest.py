"""An experiment that plans are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import Experiment, validate
from harness.models.policy import Policy, save_policy
from tests.harness.plan.planned import raw


@pytest.fixture
def experiment(tiny_random_policy: Policy, tmp_path: Path) -> Experiment:
    save_policy(tiny_random_policy, tmp_path / "policy")
    return validate(raw(tmp_path / "policy"), "test")
