"""No password reaches a file or the screen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.base.secrets import mask, masked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql+psycopg://ann:PW@host/db", "postgresql+psycopg://ann:***@host/db"),
        ("postgresql://ann:P@W/#?:W@host:5432/db", "postgresql://ann:***@host:5432/db"),
        ("redis://:PW@host", "redis://:***@host"),
        ("postgresql://ann:P W@host/db is gone", "postgresql://ann:***@host/db is gone"),
        (
            "postgresql://host/db?user=ann&password=PW&port=1",
            "postgresql://host/db?user=ann&password=***&port=1",
        ),
        ("postgresql://host/db?sslpassword=PW", "postgresql://host/db?sslpassword=***"),
        ("https://PW@host/x.git", "https://***@host/x.git"),
        ("https://PW:x-oauth-basic@host/x.git", "https://***@host/x.git"),
        ("https://host/v1?code=PW&x=PW said no", "https://host/v1?code=***&x=*** said no"),
        ("https://host/v1?api_key=PW#top", "https://host/v1?api_key=***#top"),
        ("s3://bucket/x?X-Amz-Signature=PW&y=1", "s3://bucket/x?X-Amz-Signature=***&y=1"),
        (
            "could not connect: host=h password='P W' user=ann",
            "could not connect: host=h password=*** user=ann",
        ),
        ("-s=policy.server=https://ann:PW@host/v1", "-s=policy.server=https://***@host/v1"),
        ("'postgresql://ann:PW@host/db' is gone", "'postgresql://ann:***@host/db' is gone"),
    ],
)
def test_what_parses_as_an_address_is_masked(text: str, expected: str) -> None:
    assert mask(text) == expected
    assert mask(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("sqlite:////tmp/a@b.db", "http://localhost:8000/v1", "s3://bucket/runs", "memory://x"),
        *("postgresql://ann@host/db", "runs/a: 3 of 5", "-s grpo.max_tokens=8", "ann@host: no"),
        "http://localhost:8000/v1 is not there, ask ann@host",
    ],
)
def test_what_has_no_password_stays_as_it_is(text: str) -> None:
    assert mask(text) == text


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1))
def test_no_password_survives(password: str) -> None:
    """Whatever it is made of, between marks that nothing else has."""
    secret = f"§{password}§"
    assert "§" not in mask(f"could not open postgresql://ann:{secret}@host/db now")


def test_nested_settings_are_masked() -> None:
    settings = {"a": ["redis://:PW@h", 3], "b": {"c": ("x", "redis://:PW@h")}, "d": None}
    assert masked(settings) == {"a": ["redis://:***@h", 3], "b": {"c": ("x", "redis://:***@h")}, "d": None}
