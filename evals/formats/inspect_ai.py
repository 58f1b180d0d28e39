"""inspect_ai: logs as .eval, a ZIP archive with a JSON file for each sample, or as one .json."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.formats.shape import Format, Row, Shape, ending, right
from evals.task import TaskError

ZSTD = 93
"""The ZIP format's number of the compression."""


def _recognises(shape: Shape) -> bool:
    if shape.kind == "zip":
        return any(name in shape.columns for name in ("header.json", "_journal/start.json"))
    return shape.kind == "object" and shape.has("eval", "samples") and isinstance(shape.first["eval"], dict)


def _rows(shape: Shape) -> Iterator[Row]:
    if shape.kind == "object":
        model = str(shape.first["eval"].get("model") or "")
        for sample in shape.first["samples"]:
            yield from _sample(shape.path, sample, model)
        return
    try:
        with zipfile.ZipFile(shape.path) as archive:
            start = json.loads(_member(archive, _header(archive)))
            model = str(start["eval"].get("model") or "")
            for name in sorted(archive.namelist()):
                if name.startswith("samples/") and name.endswith(".json"):
                    yield from _sample(shape.path, json.loads(_member(archive, name)), model)
    except (NotImplementedError, OSError, struct.error, zipfile.BadZipFile) as error:
        raise TaskError(
            f"{shape.path}: this inspect log cannot be unpacked here ({error}); "
            "`inspect log convert --to json` writes one that can"
        ) from None


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A file of the archive; inspect packs them by zstd, which Python's own module does not know."""
    entry = archive.getinfo(name)
    if entry.compress_type != ZSTD:
        return archive.read(name)
    import pyarrow

    assert archive.fp is not None, "the archive is open"
    archive.fp.seek(entry.header_offset)
    names, extra = struct.unpack("<HH", archive.fp.read(30)[26:30])
    archive.fp.seek(names + extra, 1)
    packed = pyarrow.py_buffer(archive.fp.read(entry.compress_size))
    with pyarrow.input_stream(packed, compression="zstd") as unpacked:
        return bytes(unpacked.read())


def _header(archive: zipfile.ZipFile) -> str:
    return "header.json" if "header.json" in archive.namelist() else "_journal/start.json"


def _sample(path: Path, sample: Mapping[str, Any], model: str) -> Iterator[Row]:
    if sample.get("error"):
        raise TaskError(
            f"{path}: its sample {sample.get('id')!r} ended in an error, so it has no response to score; "
            "`inspect eval-retry` asks it again"
        )
    output = sample.get("output") or {}
    choices = output.get("choices") or []
    target = sample.get("target")
    usage = output.get("usage") or {}
    scores = (sample.get("scores") or {}).values()
    verdicts = (right(score.get("value")) for score in scores)
    yield {
        "id": str(sample["id"]),
        "question": sample["input"] if isinstance(sample.get("input"), str) else None,
        "sample": int(sample.get("epoch") or 1) - 1,
        "response": _text(choices[0]["message"]["content"]) if choices else "",
        "gold": target[0] if isinstance(target, list) and target else target,
        "finish_reason": ending(choices[0].get("stop_reason")) if choices else None,
        "tokens": usage.get("output_tokens"),
        "model": model,
        "correct": next((verdict for verdict in verdicts if verdict is not None), None),
    }


def _text(content: Any) -> str:
    """A message's text; its parts that are reasoning stand in <think> before it."""
    if isinstance(content, str):
        return content
    thought = "".join(part.get("reasoning") or "" for part in content if part.get("type") == "reasoning")
    said = "".join(part.get("text") or "" for part in content if part.get("type") == "text")
    return f"<think>{thought}</think>{said}" if thought else said


FORMAT = Format("inspect_ai (.eval or .json)", _recognises, _rows)
