"""What an experiment file accepts, made from its classes: a JSON schema for editors and a page for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.config.experiment import Experiment

Schema = dict[str, Any]

TITLE = "Settings of an experiment file"
INTRODUCTION = """Every table and key that an experiment file accepts, made from the classes in
`harness/config/` by `make reference`. Unknown keys are refused. `-s KEY=VALUE` and `[sweep.space]` address a
stage by its `name` (`grpo.beta`), which by default is its kind.

`harness schema` prints the same as a [JSON schema](experiment.schema.json), with which an editor completes
keys, shows what they mean and marks mistakes: [how to set it up](../install.md#editors).
"""


def json_schema() -> Schema:
    """The JSON schema (draft 2020-12) of an experiment file."""
    schema = Experiment.model_json_schema()
    for table in schema["$defs"].values():
        # A stage without a kind is "grpo": elsewhere the kind is what tells one table of a list from another.
        if table["properties"].get("kind", {}).get("const", "grpo") != "grpo":
            table["required"] = ["kind", *table.get("required", [])]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def json_schema_text() -> str:
    """``json_schema`` as the text of a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def markdown() -> str:
    """The page: a section for each table, a row for each key."""
    schema = json_schema()
    tables = {"Experiment": schema, **schema["$defs"]}
    places = dict(_places(tables))
    sections = [_section(name, tables[name], places[name]) for name in places]
    return f"# {TITLE}\n\n{INTRODUCTION}\n" + "\n".join(sections)


def _places(tables: Mapping[str, Schema]) -> Iterator[tuple[str, list[str]]]:
    """Each table's name and where it may stand in a file, in the order in which one meets them."""
    found: dict[str, list[str]] = {"Experiment": [""]}
    waiting = [("Experiment", "")]
    while waiting:
        name, path = waiting.pop(0)
        for key, value in tables[name]["properties"].items():
            for inner, suffix in _tables_in(value):
                place = f"{path}.{key}{suffix}".removeprefix(".")
                if place not in found.setdefault(inner, []):
                    found[inner].append(place)
                    waiting.append((inner, place))
    for name, places in found.items():
        arm = "compare.arms.NAME."
        yield name, [place for place in places if place.removeprefix(arm) not in places or arm not in place]


def _tables_in(value: Schema) -> Iterator[tuple[str, str]]:
    """The tables that a key's value may hold, with what stands between the key and the table."""
    if "$ref" in value:
        yield _referred(value), ""
    for choice in (*value.get("anyOf", ()), *value.get("oneOf", ())):
        yield from _tables_in(choice)
    if "items" in value:
        yield from _tables_in(value["items"])
    for inner in _values_of_names(value):
        yield from ((name, f".NAME{suffix}") for name, suffix in _tables_in(inner))


def _values_of_names(value: Schema) -> list[Schema]:
    """What a table whose keys the user names holds under each of them."""
    plain = value.get("additionalProperties")
    return [*value.get("patternProperties", {}).values(), *([plain] if isinstance(plain, dict) else [])]


def _referred(value: Schema) -> str:
    return str(value["$ref"]).rpartition("/")[2]


def _section(name: str, table: Schema, places: list[str]) -> str:
    where = ", ".join(f"`[{place}]`" for place in places if place) or "the top of the file"
    keys = table["properties"]
    if "const" in keys.get("kind", {}):
        where = ", ".join(f"`[[{place}]]`" for place in places) + f' with `kind = "{keys["kind"]["const"]}"`'
        keys = {"kind": keys["kind"], "name": keys["name"], **keys}
    required = table.get("required", [])
    rows = [
        f"| `{key}` | {_cell(_accepted(value))} | {_cell(_default(value, key in required))} | "
        f"{_cell(_prose(value.get('description', '')))} |"
        for key, value in keys.items()
    ]
    return "\n".join(
        [
            f"## {name}",
            "",
            f"Written at {where}. {_prose(table.get('description', ''))}",
            "",
            "| key | accepted | default | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _accepted(value: Schema) -> str:
    """The values that a key accepts, in words."""
    if "$ref" in value:
        name = _referred(value)
        return f"[{name}](#{name.lower()})"
    if "const" in value:
        return f"`{toml(value['const'])}`"
    if "enum" in value:
        return ", ".join(f"`{toml(choice)}`" for choice in value["enum"])
    choices = [choice for choice in (*value.get("anyOf", ()), *value.get("oneOf", ())) if choice != NULL]
    if choices:
        return " or ".join(_accepted(choice) for choice in choices)
    match value.get("type"):
        case "array":
            least = f", at least {value['minItems']}" if "minItems" in value else ""
            return f"list of {_accepted(value['items'])}{least}"
        case "object":
            inner = _values_of_names(value)
            return f"table of names, each: {_accepted(inner[0])}" if inner else "table"
        case str() as kind:
            return ", ".join([NAMES.get(kind, kind), *_limits(value)])
        case _:
            return "any value"


NULL = {"type": "null"}
NAMES = {"boolean": "`true`, `false`"}
LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "maxLength": "at most {} characters",
    "pattern": "matching `{}`",
}


def _limits(value: Schema) -> list[str]:
    return [words.format(_short(value[key])) for key, words in LIMITS.items() if key in value]


def _default(value: Schema, required: bool) -> str:
    if required:
        return "**required**"
    default = value.get("default")
    if default is None:
        return "not set"
    if isinstance(default, dict) and any(suffix == "" for _, suffix in _tables_in(value)):
        return "that table's"
    return f"`{toml(default)}`"


def toml(value: Any) -> str:
    """A value as an experiment file writes it."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(toml(inner) for inner in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _prose(text: str) -> str:
    """A docstring as one line of Markdown."""
    return unread(" ".join(text.replace("``", "`").split()))


def unread(text: str) -> str:
    """Markdown in which nothing outside code is read as HTML: "<answer>" stays to be seen."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
