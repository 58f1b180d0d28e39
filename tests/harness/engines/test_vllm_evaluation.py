"""Where nothing is trained vLLM reads the weights itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from evals.base.errors import UsageError
from evals.engine import Request, Sampling
from harness import config
from harness.engines.hf import TransformersEngine
from harness.engines.registry import evaluation_engine
from harness.engines.vllm_start import subject_in, without_weights
from harness.models import policy as policies
from harness.models import stored
from harness.models.policy import Policy, load_policy, save_policy, weights_hash


@pytest.fixture
def saved(policy: Policy, tmp_path: Path) -> config.Policy:
    save_policy(policy, tmp_path / "model")
    return config.Policy(model=str(tmp_path / "model"), device="cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_files_have_the_digest_of_the_model_that_is_loaded_from_them(
    saved: config.Policy, dtype: str
) -> None:
    saved = saved.model_copy(update={"dtype": dtype})
    folder = Path(saved.model)
    subject = subject_in(folder, saved)
    found = stored.folder_hash(folder, without_weights(subject), getattr(torch, dtype))
    assert found == weights_hash(load_policy(saved).model)


def test_shards_and_other_names_have_a_digest_too(saved: config.Policy) -> None:
    folder = Path(saved.model)
    model = without_weights(subject_in(folder, saved))
    whole = stored.folder_hash(folder, model, torch.float32)
    tensors = dict(stored.tensors(stored.places(folder)))
    (folder / "model.safetensors").unlink()
    files = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(sorted(tensors))}
    for file in set(files.values()):
        save_file({name: tensors[name] for name in files if files[name] == file}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))
    assert stored.folder_hash(folder, model, torch.float32) == whole
    del files["model.norm.weight"]
    index.write_text(json.dumps({"weight_map": files}))
    assert stored.folder_hash(folder, model, torch.float32) != whole


@pytest.mark.vllm
def test_no_second_copy_of_the_weights_is_made(
    saved: config.Policy, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("vllm")

    def refuse(*_args: object, **_settings: object) -> None:
        raise AssertionError("the weights were loaded by transformers")

    monkeypatch.setattr(policies, "_load_model", refuse)
    kind = {"kind": "vllm", "max_model_len": 128, "batch_size": 8, "max_num_batched_tokens": 512}
    engine = evaluation_engine(config.Eval.model_validate({"engine": kind}).engine, saved)
    ours = TransformersEngine(policy)
    requests, sampling = [Request("3 + 4 = ", 1, 0), Request("a", 1, 1)], Sampling(0.0, max_tokens=16)
    for theirs, own in zip(
        engine.generate(requests, sampling), ours.generate(requests, sampling), strict=True
    ):
        assert theirs.completions[0].token_ids == own.completions[0].token_ids
        assert theirs.completions[0].logprobs == pytest.approx(own.completions[0].logprobs, abs=1e-4)
    assert engine.model_hash == ours.model_hash
    told = engine._llm.llm_engine.vllm_config  # type: ignore[attr-defined]
    assert told.model_config.max_model_len == 128
    assert told.scheduler_config.max_num_seqs == 8
    assert told.scheduler_config.max_num_batched_tokens == 512
    with pytest.raises(UsageError, match="the model has 128"):
        engine.generate([Request("a" * 100, 1, 0)], Sampling(max_tokens=29))


@pytest.mark.vllm
def test_what_vllm_itself_refuses_is_one_sentence(saved: config.Policy) -> None:
    pytest.importorskip("vllm")
    kind = config.Eval.model_validate({"engine": {"kind": "vllm", "kv_cache_dtype": "float3"}}).engine
    # vLLM names the field of its own configuration, without "kv_"
    with pytest.raises(UsageError, match=r"cannot be sampled by vLLM: cache_dtype: .*auto"):
        evaluation_engine(kind, saved)
