"""What every test shares: few threads, no W&B server, no deadlines, the folder of data sets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["WANDB_MODE"] = "offline"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# A busy machine is no failure: nothing is judged by how long it took.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets; the test is skipped where HARNESS_DATA does not name one."""
    named = os.environ.get("HARNESS_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("HARNESS_DATA names no folder of data sets")
    return Path(named)
