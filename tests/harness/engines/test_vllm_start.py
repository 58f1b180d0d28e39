"""What starting vLLM leaves behind; none of it needs vLLM."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.engines import vllm_start
from harness.engines.vllm_settings import VllmSettings
from harness.models import dist
from harness.models.policy import Policy


class Compiled:
    """What vLLM adds to the bases of a class that it compiles."""


class Sampler:
    """An engine that holds a module of the same class as the policy's backbone."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def apply_model(self, work: Callable[[torch.nn.Module], Any]) -> list[Any]:
        return [work(self.model)]


def test_a_class_that_vllm_changed_is_the_models_own_again(
    make_random_policy: Callable[..., Policy],
) -> None:
    policy, other = make_random_policy(), make_random_policy()
    kind = type(policy.model.model)
    before = vllm_start._classes(policy.model)
    bases, init = kind.__bases__, kind.__init__
    try:
        kind.__bases__ = (*bases, Compiled)
        kind.__call__ = lambda self, *args, **kwargs: "vLLM's"
        kind.__init__ = lambda self: None
        kind.compiled = True
        vllm_start._give_back_classes(Sampler(other.model.model), before)
        assert (kind.__bases__, kind.__init__) == (bases, init)
        assert "__call__" not in vars(kind)
        assert not hasattr(kind, "compiled")
    finally:
        vllm_start._put_back(before)
    ids = torch.arange(5)[None]
    assert policy.model(input_ids=ids, use_cache=False).logits.shape == (1, 5, 262)
    # vLLM's module keeps what was made for it, and is still one of that class.
    assert other.model.model(input_ids=ids) == "vLLM's"
    assert isinstance(other.model.model, kind)
    assert isinstance(other.model.model, Compiled)


def test_a_tokenizers_own_longest_text_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer_config.json"
    vllm_start._drop_length(file)
    file.write_text(json.dumps({"model_max_length": 8, "x": 1}))
    vllm_start._drop_length(file)
    assert json.loads(file.read_text()) == {"x": 1}


def test_a_server_is_no_process_of_the_run(
    make_random_policy: Callable[..., Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under torchrun an engine in the process takes its place among the others; a server has its own."""
    monkeypatch.setattr(dist, "world", lambda: 2)
    subject = vllm_start.subject_of(make_random_policy())
    told = vllm_start.arguments(subject, torch.device("cpu"), VllmSettings(), 0.5)
    assert "distributed_executor_backend" not in told
    assert vllm_start._launched_here() == {"distributed_executor_backend": "external_launcher"}
