"""``policy.servers``: addresses or a count, and what goes with them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.config import Policy
from harness.config.servers import Servers


def refusal(**settings: Any) -> str:
    with pytest.raises(ValidationError) as found:
        Policy.model_validate({"model": "tiny", **settings})
    return str(found.value.errors()[0]["msg"])


def test_addresses_stand_for_a_table() -> None:
    policy = Policy.model_validate({"model": "tiny", "servers": ["http://a:8000/v1/", "http://b:8000"]})
    assert policy.servers is not None
    assert policy.servers.addresses == ["http://a:8000", "http://b:8000"]
    assert policy.servers.hosts == ["a", "b"]
    assert policy.engine.kind == "vllm"
    assert Servers.model_validate("http://a:1, http://b:2").addresses == ["http://a:1", "http://b:2"]
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


def test_one_way_to_say_where_they_are() -> None:
    for servers in ({}, {"count": 0}, {"count": 1, "addresses": ["http://a:1"]}):
        assert "or how many to start" in refusal(servers=servers)
    assert "lists the same address twice" in refusal(servers=["http://a:1", "http://a:1/v1"])
    assert "contains a password" in refusal(servers=["http://me:secret@a:1"])
    assert "http" in refusal(servers=["a:1"])


def test_what_goes_with_servers() -> None:
    engine = {"kind": "vllm", "tensor_parallel": 2}
    assert Policy.model_validate({"model": "tiny", "servers": {"count": 2}, "engine": engine}).engine.settings
    assert "they were started with" in refusal(servers=["http://a:1"], engine=engine)
    assert 'engine is "transformers"' in refusal(servers={"count": 1}, engine="transformers")
    assert "servers is for training and server for evaluation" in refusal(
        servers={"count": 1}, server="http://a:1/v1"
    )
