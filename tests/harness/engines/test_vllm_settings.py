"""The settings of vLLM: ours by name, vLLM's own passed on, everything else refused in a sentence."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from evals.base.errors import UsageError
from harness.cli.app import engine_of
from harness.config.kinds import ENGINES
from harness.engines import vllm_settings
from harness.engines.vllm_settings import SAID_ELSEWHERE, VllmSettings


@pytest.fixture
def vllms_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some names of EngineArgs, as if vLLM were installed."""
    names = frozenset({"max_num_seqs", "kv_cache_dtype", "enforce_eager", "seed"})
    monkeypatch.setattr(vllm_settings, "vllms_own", lambda: names)


def refusal(**settings: Any) -> str:
    with pytest.raises(UsageError) as found:
        ENGINES.factory("vllm", settings, "policy.engine")
    return str(found.value)


@pytest.mark.usefixtures("vllms_own")
def test_what_is_not_ours_is_passed_on() -> None:
    given = VllmSettings.model_validate({"memory_share": 0.8, "kv_cache_dtype": "fp8", "enforce_eager": True})
    assert given.passed_on == {"kv_cache_dtype": "fp8", "enforce_eager": True}


@pytest.mark.usefixtures("vllms_own")
def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    said = refusal(kv_cache_dtyp="fp8")
    assert said.startswith("policy.engine: unknown key 'kv_cache_dtyp'; did you mean 'kv_cache_dtype'?")
    assert "did you mean 'tensor_parallel'?" in refusal(tensor_paralel=2)
    assert "\n" not in said


@pytest.mark.parametrize("name", SAID_ELSEWHERE)
def test_what_is_said_elsewhere_is_refused_with_the_place(name: str) -> None:
    assert refusal(**{name: 1}) == f"policy.engine: {name} cannot be set: {SAID_ELSEWHERE[name]}"


def test_values_of_ours_are_checked() -> None:
    assert refusal(memory_share=1.5).startswith("policy.engine.memory_share: ")
    assert refusal(tensor_parallel=0).startswith("policy.engine.tensor_parallel: ")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_its_own_names_are_not_known_and_wait() -> None:
    assert VllmSettings.model_validate({"anything": 1}).passed_on == {"anything": 1}


@pytest.mark.usefixtures("vllms_own")
def test_the_command_takes_settings_one_by_one() -> None:
    choice = engine_of("vllm", ["tensor_parallel=8", "kv_cache_dtype=fp8"])
    assert choice.settings == {"tensor_parallel": 8, "kv_cache_dtype": "fp8"}
    with pytest.raises(UsageError, match="--engine-set memory_share: must be key=value"):
        engine_of("vllm", ["memory_share"])
    with pytest.raises(UsageError, match=r"--engine-set: takes no settings, got a$"):
        engine_of("transformers", ["a=1"])


@pytest.mark.vllm
def test_vllms_names_are_those_of_its_engine_args() -> None:
    pytest.importorskip("vllm")
    assert vllm_settings.vllms_own() >= SAID_ELSEWHERE.keys() | {"kv_cache_dtype", "max_num_batched_tokens"}
    assert "did you mean 'kv_cache_dtype'?" in refusal(kv_cache_dtyp="auto")
