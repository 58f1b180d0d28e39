"""A first experiment file: the settings that matter at the start are set, all others stand as comments."""

from __future__ import annotations

import textwrap
from typing import Any

from harness.config.reference import json_schema, toml

Schema = dict[str, Any]

OPENING = """\
# An experiment: what to train, on what, how, and how it is measured.
#   harness plan FILE     estimates what it takes
#   harness train FILE    trains one policy
#   harness sweep FILE    searches [sweep.space] for better settings, then writes a report
# A setting behind "#" has its default; one without a value is not set. The tiny policy and its tasks need no
# download. To train a model of your own, give its folder or hub id and remove the line with the template.
# More tables ([budget], [compare], other kinds of stages): docs/reference/config.md, or harness schema.
"""

CHOSEN: dict[str, dict[str, Any]] = {
    "Policy": {"model": "tiny", "template": "tags"},
    "Data": {"train": "tiny-math:train[:4000]", "dev": "tiny-math:dev[:30]"},
    "GRPO": {
        "kind": "grpo",
        "steps": 20,
        "completions_per_step": 64,
        "learning_rate": 2e-4,
        "max_tokens": 96,
        "eval_every": 10,
        "rewards": {"accuracy": 1.0, "format": 0.2},
    },
    "Eval": {"benchmarks": ["tiny-math"], "samples": 4, "temperature": 1.0, "top_p": 1.0, "max_tokens": 96},
    "Sweep": {
        "trials": 6,
        "space": {
            "grpo.group_size": [4, 8, 16],
            "grpo.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        },
    },
    "Tracking": {},
}
"""What is set, table by table."""
TABLES = {
    "Policy": "[policy]",
    "Data": "[data]",
    "GRPO": "[[stages]]",
    "Eval": "[eval]",
    "Sweep": "[sweep]",
    "Tracking": "[tracking]",
}


def starter(name: str) -> str:
    """The text of an experiment file that can be run and edited; ``name`` is the experiment's."""
    schema = json_schema()
    plain = {key: schema["properties"][key] for key in ("name", "seed")}
    parts = [OPENING, *_table("", plain, {"name": name})]
    for table, header in TABLES.items():
        found = schema["$defs"][table]
        parts.append(f"{_comment(found['description'])}\n{header}")
        parts += _table(header.strip("[]"), found["properties"], CHOSEN[table])
    return "\n".join(parts).replace("\n\n\n", "\n\n").rstrip() + "\n"


def _table(path: str, keys: dict[str, Schema], chosen: dict[str, Any]) -> list[str]:
    """A table's keys, each below what it means; then the tables in it that are set."""
    inner = {key: value for key, value in chosen.items() if isinstance(value, dict)}
    lines = []
    for key, value in keys.items():
        if key not in inner:
            lines += [_comment(value["description"]), _setting(key, value, chosen)]
    for key, table in inner.items():
        lines += ["", _comment(keys[key]["description"]), f"[{path}.{key}]"]
        lines += [f"{_quoted(name)} = {toml(value)}" for name, value in table.items()]
    return [*lines, ""]


def _setting(key: str, value: Schema, chosen: dict[str, Any]) -> str:
    if key in chosen:
        return f"{key} = {toml(chosen[key])}"
    default = value.get("default")
    return f"#{key} =" if default is None else f"#{key} = {toml(default)}"


def _quoted(key: str) -> str:
    """A key as TOML writes it: bare where it may be."""
    return f'"{key}"' if "." in key else key


def _comment(text: str) -> str:
    sentences = " ".join(text.replace("``", "").split())
    return textwrap.fill(sentences, 108, initial_indent="# ", subsequent_indent="# ")
