"""What only the vLLM engine does."""

from __future__ import annotations

import copy
import gc
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from evals.base.errors import JobError, UsageError
from evals.engine import Request, Sampling
from evals.task import Question, Task
from harness import config
from harness.config import GRPO, Data, Experiment
from harness.engines.registry import EngineKind, RolloutEngine, make_engine
from harness.engines.vllm_engine import VllmEngine
from harness.models import trial
from harness.models.policy import Policy, load_policy, save_policy, weights_hash
from harness.train.forward import Scorer
from harness.train.learners import train_stage
from harness.train.loop import Outcome, StageRun
from harness.train.probe import Probe
from harness.train.run_dir import Run
from tests.harness.conftest import TAGS
from tests.harness.models import architectures

pytestmark = pytest.mark.vllm

QUESTIONS = [Question(str(i), f"{i} plus {i}?", str(2 * i)) for i in range(6)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")


@pytest.fixture
def vllm_engine(policy: Policy, engines: dict[EngineKind, RolloutEngine]) -> VllmEngine:
    pytest.importorskip("vllm")
    if "vllm" not in engines:
        engines["vllm"] = make_engine("vllm", policy)
    engine = engines["vllm"]
    assert isinstance(engine, VllmEngine)
    engine.sync(policy.model)
    return engine


def train(folder: Path, policy: Policy, engine: RolloutEngine, rows: list[dict[str, Any]]) -> Outcome:
    stage = GRPO(
        steps=10,
        completions_per_step=16,
        group_size=4,
        learning_rate=5e-3,
        rewards={"language": 1.0, "overlong": 0.5},
        overlong_buffer=20,
        max_tokens=24,
    )
    experiment = Experiment(
        name="test",
        policy=config.Policy(model="tiny", template="tags", engine="vllm"),
        data=Data(train="sums"),
        stages=[stage],
    )
    run = Run(folder, experiment)
    try:
        pairs = [(TASK, question) for question in QUESTIONS]
        return train_stage(stage, StageRun(run, policy, engine, pairs, on_step=rows.append))
    finally:
        run.close()


def test_ten_steps_are_sampled_by_the_policy_they_train(
    policy: Policy, vllm_engine: VllmEngine, tmp_path: Path
) -> None:
    before = weights_hash(policy.model)
    rows: list[dict[str, Any]] = []
    assert train(tmp_path / "run", policy, vllm_engine, rows) == Outcome("done", 10)
    assert vllm_engine.weights_hash == weights_hash(policy.model) != before
    assert len(rows) == 10
    assert max(row["drift"] for row in rows) < 1e-4
    assert rows[-1]["reward"] > rows[0]["reward"]


def test_a_skipped_sync_is_caught(
    policy: Policy, vllm_engine: VllmEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_engine, "sync", lambda model: None)
    with pytest.raises(JobError, match="the vllm engine does not sample the policy in training"):
        train(tmp_path / "run", policy, vllm_engine, [])


def test_a_group_prefills_its_prompt_once(vllm_engine: VllmEngine) -> None:
    vllm = pytest.importorskip("vllm")
    prompt = {"prompt_token_ids": list(range(100))}
    parameters = vllm.SamplingParams(n=8, seed=0, max_tokens=2)
    output = vllm_engine._llm.generate([prompt], parameters, use_tqdm=False)[0]
    assert output.num_cached_tokens == 96  # whole blocks of 32


@pytest.fixture
def folder(byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Callable[..., Policy]:
    """A random policy of another architecture; heads of 32, the smallest that vLLM computes on a CPU."""
    pytest.importorskip("vllm")

    def make(kind: str, **settings: Any) -> Policy:
        shape = {"hidden_size": 128, "head_dim": 32, **settings}
        place = architectures.save(kind, shape, byte_tokenizer, tmp_path / kind)
        return load_policy(config.Policy(model=str(place), device="cpu"), trainable=True)

    return make


def drift(policy: Policy, engine: RolloutEngine) -> float:
    """The largest difference of a sampled token's log-probability from a plain forward pass."""
    policy.model.eval()
    found = 0.0
    for group in engine.generate([Request("Compute 3 + 4. " * 3, 3, 7)], Sampling(max_tokens=24)):
        for completion in group.completions:
            plain = trial.plain_logprobs(policy.model, policy, group.prompt_ids, completion.token_ids)
            found = max(found, float((plain - torch.tensor(completion.logprobs)).abs().max()))
    return found


def test_weights_that_did_not_arrive_are_told_by_log_probabilities(
    policy: Policy, vllm_engine: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash of what was sent agrees all the same."""
    sent = vllm_engine._in_files
    vllm_engine.sync(policy.model)
    monkeypatch.setattr(
        vllm_engine,
        "_in_files",
        lambda model: [(name, t * 1.2 if "down_proj" in name else t) for name, t in sent(model)],
    )
    vllm_engine.sync(policy.model)
    probe = Probe(vllm_engine, Scorer(policy.model, policy, 1.0), policy, 1.0, None)
    with pytest.raises(JobError, match="a sync the vllm engine does not sample the policy in training"):
        probe.check()


def test_a_mixture_whose_experts_are_not_packed_again_is_refused(folder: Callable[..., Policy]) -> None:
    policy = folder("qwen3_moe", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32)
    # A process of its own: vLLM keeps the process groups of the first model, which knew no experts.
    command = [sys.executable, "-m", "harness.cli", "doctor", policy.name, "--json"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told = {check["name"]: check for check in json.loads(said[said.index("[\n") :])}
    assert told["training"]["ok"]
    assert told["engine transformers"]["ok"]
    assert not told["engine vllm"]["ok"]
    assert re.search(r"log-probabilities of a text differ by \d.* nats", told["engine vllm"]["advice"])


def test_a_tied_head_goes_where_vllm_has_one(folder: Callable[..., Policy]) -> None:
    policy = folder("gemma2", sliding_window=16, query_pre_attn_scalar=32)
    assert drift(policy, make_engine("vllm", policy)) < 1e-4


def test_a_model_goes_on_training_after_vllm_took_its_class(
    folder: Callable[..., Policy], tmp_path: Path
) -> None:
    policy = folder("olmo2")
    engine = make_engine("vllm", policy)
    rows: list[dict[str, Any]] = []
    assert train(tmp_path / "run", policy, engine, rows) == Outcome("done", 10)
    assert max(row["drift"] for row in rows if "drift" in row) < 1e-4
    assert drift(policy, engine) < 1e-4
    again = load_policy(config.Policy(model=policy.name, device="cpu"))
    assert again.model(input_ids=torch.arange(5)[None]).logits.shape == (1, 5, 264)


def test_vllm_plans_for_the_longest_request(policy: Policy) -> None:
    pytest.importorskip("vllm")
    engine = make_engine("vllm", policy, room=64)
    assert isinstance(engine, VllmEngine)
    assert engine._llm.llm_engine.model_config.max_model_len == 64
    (group,) = engine.generate([Request("x" * 40, 2, 0)], Sampling(max_tokens=24))
    assert len(group.completions) == 2
    with pytest.raises(UsageError, match="the model has 64"):
        engine.generate([Request("x" * 40, 1, 0)], Sampling(max_tokens=25))


def test_an_engine_outlives_another_one(policy: Policy, vllm_engine: VllmEngine) -> None:
    """A teacher's engine, say, that is done while the policy's goes on."""
    requests, sampling = [Request("a", 4, 0)], Sampling(max_tokens=8)
    before = vllm_engine.generate(requests, sampling)
    other = make_engine("vllm", policy, room=64)
    assert other.generate(requests, sampling) == before
    del other
    gc.collect()
    vllm_engine.sync(policy.model)
    assert vllm_engine.generate(requests, sampling) == before


def test_a_stop_string_may_be_a_special_token(policy: Policy) -> None:
    pytest.importorskip("vllm")
    tokenizer = copy.deepcopy(policy.tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": list(TAGS)})
    engine = make_engine("vllm", replace(policy, tokenizer=tokenizer), room=64)
    asked = [Request("a", 64, 0)]
    free = engine.generate(asked, Sampling(max_tokens=32))[0].completions
    tag = next(tag for tag in TAGS for completion in free if tag in completion.text)
    stopped = engine.generate(asked, Sampling(max_tokens=32, stop=(tag,)))[0].completions
    for before, after in zip(free, stopped, strict=True):
        assert after.text == before.text.partition(tag)[0]
        assert len(after.token_ids) <= len(before.token_ids)


def test_a_head_in_float32_is_vllms_too(make_random_policy: Callable[..., Policy], tmp_path: Path) -> None:
    """Logits in bfloat16 have eight significant bits: among the likeliest twenty tokens some are equal."""
    vllm = pytest.importorskip("vllm")
    shape = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 4000}
    save_policy(make_random_policy(**shape), tmp_path / "model")
    equal: dict[str, int] = {}
    for dtype in ("model", "float32"):
        settings = {
            "model": str(tmp_path / "model"),
            "dtype": "bfloat16",
            "device": "cpu",
            "head_dtype": dtype,
        }
        policy = load_policy(config.Policy.model_validate(settings), trainable=True)
        engine = VllmEngine(policy)
        asked = vllm.SamplingParams(logprobs=20, max_tokens=20, seed=0, ignore_eos=True)
        prompts = [{"prompt_token_ids": list(range(start, start + 20))} for start in range(0, 200, 20)]
        outputs = engine._llm.generate(prompts, asked, use_tqdm=False)
        steps = [step for output in outputs for step in output.outputs[0].logprobs]
        told = [[entry.logprob for entry in step.values()] for step in steps]
        equal[dtype] = sum(len(values) - len(set(values)) for values in told)
        probe = Probe(engine, Scorer(policy.model, policy, 1.0), policy, 1.0, None)
        assert probe.check()["probe/drift"] < 0.1
        del engine, probe
    assert equal["float32"] * 20 < equal["model"], equal
