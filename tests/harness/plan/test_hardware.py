"""What training takes of a device by its data sheet: memory in both phases, and time."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.config import Experiment, Policy, validate
from harness.config.choice import Choice
from harness.config.servers import Servers
from harness.config.terms import Reference
from harness.models.architecture import architecture
from harness.models.devices import DEVICES
from harness.models.policy import load_policy
from harness.models.quantized import BITS
from harness.plan.hardware import (
    OPERATIONS,
    SAMPLING,
    SCHEDULING,
    SENDING,
    memory,
    seconds,
    server_devices,
    whole_copy,
)
from harness.plan.plan import plan_on
from harness.plan.work import Work
from harness.plan.workload import assumed, work
from harness.train.grpo.reference import make_reference
from tests.harness.plan.planned import raw


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"]])
def test_adapters_are_planned_as_they_are_trained(
    experiment: Experiment, tmp_path: Path, targets: str | list[str]
) -> None:
    """A backward pass takes no gradients of frozen weights, and the adapters alone have an optimizer's."""
    changed = raw(tmp_path / "policy")
    changed["policy"]["lora"] = {"rank": 4, "targets": targets}
    adapted = validate(changed, "test")
    own = architecture(adapted.policy)
    parts = {part.name: part for part in work(adapted, assumed(10))}
    sft, grpo = parts["sft"], parts["grpo"]
    assert sft.learning_flops == 7 * 2 * (1 + 1) * own.shape.forward(round(sft.prompt), [10])
    assert grpo.learning_flops == 6 * 2 * (1 + 1 + 1) * own.shape.forward(round(grpo.prompt), [10] * 4)
    loaded = load_policy(adapted.policy, trainable=True)
    assert own.adapters == sum(p.numel() for p in loaded.model.parameters() if p.requires_grad)
    whole = adapted.model_copy(update={"policy": adapted.policy.model_copy(update={"lora": None})})
    saved = (16 + 4 - 4) * own.parameters - 16 * own.adapters  # the reference policy is the frozen one
    assert memory(whole, 1).learning - memory(adapted, 1).learning == pytest.approx(saved / 2**30)


def test_more_devices_take_less_time_and_less_memory_each(experiment: Experiment) -> None:
    one, four = memory(experiment, 1), memory(experiment, 4)
    assert four.learning < one.learning
    flops = {"sampling_flops": 1e12, "learning_flops": 3e12}
    part = Work(
        "x", "train", experiment.policy, 1, 256, prompt=100, length=100, sampled=1e6, learned=1e6, **flops
    )
    assert seconds(part, DEVICES["h100"], 4) < seconds(part, DEVICES["h100"], 1)
    assert seconds(part, DEVICES["h100"], 1) < seconds(part, DEVICES["a100"], 1)
    large = Policy(model="deepseek-ai/DeepSeek-R1-Distill-Llama-70B")
    part = Work("x", "train", large, 1, batch=1, prompt=1, length=1, sampled=1, sampling_flops=1)
    assert seconds(part, DEVICES["l40s"], 1) == math.inf


def test_devices_that_share_a_copy_sample_what_none_of_them_could_hold() -> None:
    """70.6e9 weights of two bytes: 141 GB, on L40S of 48 GiB, whose bandwidth bounds a single response."""
    kind = Choice.model_validate({"kind": "vllm", "tensor_parallel": 4})
    large = Policy(model="deepseek-ai/DeepSeek-R1-Distill-Llama-70B", engine=kind)
    device = DEVICES["l40s"]
    part = Work("x", "measure", large, 1, sampled=1000, sampling_flops=1e9, batch=1, prompt=1, length=1000)
    assert seconds(part, device, 2) == math.inf  # not as many as it asks for
    read = 2 * 70.6e9 + architecture(large).cache * 501
    assert seconds(part, device, 4) == pytest.approx(
        1000 * read / (4 * device.bandwidth) / SAMPLING, rel=1e-2
    )
    assert seconds(part, device, 8) == pytest.approx(seconds(part, device, 4) / 2)


def test_servers_have_devices_of_their_own() -> None:
    """Two servers of two devices sample, four train; with rollouts ahead the slower side decides."""
    h100, model = DEVICES["h100"], Policy(model="Qwen/Qwen2.5-7B")
    flops = {"sampling_flops": 1, "learning_flops": 3e18}
    part = Work("x", "train", model, 1, batch=256, prompt=9, length=99, sampled=1e6, learned=1e6, **flops)
    kind = Choice.model_validate({"kind": "vllm", "tensor_parallel": 2})
    apart = part.policy.model_copy(update={"engine": kind, "servers": Servers(count=2)})
    shared = part.policy.model_copy(update={"engine": kind})
    assert server_devices(apart) == 4
    learning = replace(part, sampled=0)
    sampling = replace(part, learning_flops=0, policy=apart)
    # However many train, the servers sample as so many devices in the same processes would.
    alike = replace(part, learning_flops=0, policy=shared)
    assert seconds(sampling, h100, 1) == pytest.approx(seconds(alike, h100, 4))
    both = replace(part, policy=apart)
    each = seconds(learning, h100, 4), seconds(sampling, h100, 4)
    assert seconds(both, h100, 4) == pytest.approx(sum(each))
    assert seconds(replace(both, ahead=True), h100, 4) == pytest.approx(max(each))


def test_what_samples_beside_the_shards_is_counted() -> None:
    """Qwen2.5-7B on eight devices: four numbers of float32 a weight, sharded, and what the sampler holds."""

    def gigabytes(**policy: Any) -> tuple[float, float]:
        told = {
            "name": "x",
            "policy": {"model": "Qwen/Qwen2.5-7B", "dtype": "bfloat16", **policy},
            "data": {"train": "gsm8k"},
            "stages": [{"kind": "grpo", "micro_batch_tokens": 1, "max_tokens": 1}],
        }
        plan = validate(told, "x")
        found = memory(plan, 8)
        said = plan_on(plan, DEVICES["h100"], 8, None, None).warnings
        assert any("keeps a whole copy" in line for line in said) == (not policy)
        return found.learning * 2**30 / 1e9, found.sampling * 2**30 / 1e9

    shard, count = 16 * 7.6156 / 8, 7.6156
    assert gigabytes() == pytest.approx((shard + 4 * count, shard + 4 * count), rel=1e-2)
    assert gigabytes(engine="vllm") == pytest.approx((shard, shard + 2 * count), rel=1e-2)
    parallel = {"kind": "vllm", "tensor_parallel": 8}
    assert gigabytes(engine=parallel) == pytest.approx((shard, shard + 2 * count / 8), rel=1e-2)
    assert gigabytes(servers=["http://node:8000"]) == pytest.approx((shard, shard), rel=1e-2)


def test_one_process_samples_the_weights_that_it_trains(experiment: Experiment) -> None:
    """In bfloat16 by a copy in that dtype, in float32 as they are; keys and values come on top."""
    alone = experiment.model_copy(update={"stages": [experiment.stages[-1]]})
    rounded = alone.model_copy(update={"policy": alone.policy.model_copy(update={"dtype": "bfloat16"})})
    more = memory(rounded, 1).sampling - memory(alone, 1).sampling
    assert more == pytest.approx(2 * architecture(experiment.policy).parameters / 2**30)


def test_small_gpus_settings_take_what_their_bytes_say() -> None:
    """Qwen2.5-7B: 6.53e9 of its 7.62e9 parameters are in linear layers."""
    stage = {"kind": "grpo", "beta": 0.01, "micro_batch_tokens": 1}

    def learning(policy: dict[str, Any], **settings: Any) -> tuple[float, float]:
        of = {"model": "Qwen/Qwen2.5-7B", "dtype": "bfloat16", **policy}
        found = memory(
            validate(
                {"name": "x", "policy": of, "data": {"train": "gsm8k"}, "stages": [{**stage, **settings}]},
                "x",
            ),
            1,
        )
        return found.learning * 2**30 / 1e9, found.host * 2**30 / 1e9

    count, linear = 7.6156, 6.5255
    adapters = {"lora": {"rank": 16}}
    plain = learning({})[0]
    assert plain == pytest.approx(20 * count, rel=1e-3)
    assert learning({}, optimizer="adamw8bit")[0] == pytest.approx(plain - (6 - 8 / 256) * count, rel=1e-3)
    away = learning({}, offload_optimizer=True, reference={"offload": True})
    assert away == pytest.approx((12 * count, 12 * count), rel=1e-3)  # the reference visits for its pass
    assert learning({}, offload_optimizer=True)[1] == pytest.approx(8 * count, rel=1e-3)
    wide, codes = learning(adapters)[0], learning({**adapters, "quantization": "nf4"})[0]
    assert wide - codes == pytest.approx(linear * (2 - BITS / 8), rel=1e-3)
    assert codes < 6.5 < wide


def test_a_decoding_step_takes_what_sending_its_work_takes_however_small_the_model(
    experiment: Experiment,
) -> None:
    """The transformers engine sends operations one by one, vLLM in one graph: 1,000 steps of 64 sequences."""
    layers = architecture(experiment.policy).layers
    vllm = experiment.policy.model_copy(update={"engine": Choice(kind="vllm")})
    size = {"batch": 64, "prompt": 100, "length": 1000, "sampled": 64_000, "sampling_flops": 1e9}
    parts = [Work("x", "measure", policy, 1, **size) for policy in (experiment.policy, vllm)]
    for device in ("h100", "l4"):
        took = [seconds(part, DEVICES[device], 1) for part in parts]
        assert took == pytest.approx([1000 * layers * OPERATIONS * SENDING, 1000 * SCHEDULING])
    large = Policy(model="Qwen/Qwen2.5-32B", engine=Choice(kind="vllm"))  # its weights alone take longer
    reading = 2 * architecture(large).parameters / DEVICES["h200"].bandwidth
    part = Work("x", "measure", large, 1, sampled=1000, sampling_flops=1, batch=1, prompt=100, length=1000)
    assert seconds(part, DEVICES["h200"], 1) > 1000 * reading


def test_activations_that_are_computed_again_take_less_memory_and_more_time(
    experiment: Experiment, tmp_path: Path
) -> None:
    def planned(**policy: Any) -> tuple[float, float]:
        changed = raw(tmp_path / "policy")
        changed["policy"] |= {"dtype": "bfloat16", "engine": "vllm", **policy}
        changed["stages"] = [
            {**stage, "beta": 0.0, "micro_batch_tokens": 2**20}
            for stage in changed["stages"]
            if stage["kind"] == "grpo"
        ]
        read = validate(changed, "test")
        [part] = [part for part in work(read, assumed(100)) if part.learned]
        part = replace(part, sampled=0.0)
        return memory(read, 1).learning * 2**30, seconds(part, DEVICES["h100"], 1)

    model = architecture(experiment.policy)
    kept, again = planned(), planned(gradient_checkpointing=True)
    unit = 2**20 * model.hidden
    assert kept[0] - again[0] == pytest.approx(unit * (34 * (model.layers - 1) - 2 * model.layers))
    assert again[1] / kept[1] == pytest.approx(4 / 3)
    frozen: dict[str, Any] = {"lora": {"rank": 4}}
    slower = planned(gradient_checkpointing=True, **frozen)[1] / planned(**frozen)[1]
    assert slower == pytest.approx(3 / 2)
    assert planned(dtype="float32")[0] - kept[0] == pytest.approx(unit * 34 * model.layers)


def test_what_takes_less_memory_is_named_where_it_is_not_done_yet() -> None:
    def said(devices: int, **policy: Any) -> str:
        told = {
            "name": "x",
            "policy": {"model": "deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "engine": "vllm", **policy},
            "data": {"train": "gsm8k"},
            "stages": [{"kind": "grpo"}],
        }
        warning = plan_on(validate(told, "x"), DEVICES["l4"], devices, None, None).warnings[0]
        return warning.partition(": use ")[2]

    assert said(1) == (
        'a smaller micro_batch_tokens, policy.gradient_checkpointing, LoRA, policy.dtype = "bfloat16" '
        "or more devices"
    )
    smaller = {"lora": {"rank": 16}, "dtype": "bfloat16", "gradient_checkpointing": True}
    assert said(1, **smaller) == 'a smaller micro_batch_tokens, policy.quantization = "nf4" or more devices'
    assert said(8, **smaller) == "a smaller micro_batch_tokens or more devices"  # FSDP2 cannot shard codes


def test_several_processes_that_sample_with_transformers_have_a_whole_copy() -> None:
    sft = {"kind": "sft", "data": "tiny-traces"}
    grpo = {"kind": "grpo"}

    def copied(stage: dict[str, Any], dev: list[str], devices: int = 8, **policy: Any) -> float:
        told = {
            "name": "x",
            "policy": {"model": "Qwen/Qwen2.5-7B", "dtype": "bfloat16", **policy},
            "data": {"train": "gsm8k", "dev": dev},
            "stages": [stage],
        }
        return whole_copy(validate(told, "x"), devices)

    size = architecture(Policy(model="Qwen/Qwen2.5-7B")).parameters
    assert copied(grpo, []) == copied(sft, ["gsm8k"]) == 4 * size
    assert copied(sft, []) == copied(grpo, [], devices=1) == copied(grpo, [], engine="vllm") == 0
    adapters = architecture(Policy(model="Qwen/Qwen2.5-7B", lora={"rank": 16})).adapters
    assert copied(grpo, [], lora={"rank": 16}) == 2 * size + 4 * adapters


def test_copies_of_the_policy_are_planned_in_the_dtype_that_they_have(
    experiment: Experiment, tmp_path: Path
) -> None:
    """The reference policy is float32 as the master weights are, vLLM's copy is of the policy's dtype."""

    def planned(dtype: str, beta: float) -> tuple[float, float]:
        changed = raw(tmp_path / "policy")
        changed["policy"] |= {"dtype": dtype, "engine": "vllm"}
        changed["stages"] = [
            {**stage, "beta": beta} for stage in changed["stages"] if stage["kind"] == "grpo"
        ]
        found = memory(validate(changed, "test"), 1)
        return found.learning * 2**30, found.sampling * 2**30

    loaded = load_policy(experiment.policy.model_copy(update={"dtype": "bfloat16"}), trainable=True)
    copy = make_reference(loaded, Reference()).model
    held = sum(p.numel() * p.element_size() for p in copy.parameters())
    assert planned("bfloat16", 0.1)[0] - planned("bfloat16", 0.0)[0] == pytest.approx(held)
    count = sum(p.numel() for p in copy.parameters())
    assert planned("float32", 0.0)[1] - planned("bfloat16", 0.0)[1] == pytest.approx((4 - 2) * count)
