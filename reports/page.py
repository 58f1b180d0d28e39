"""The report: one HTML file that needs nothing else, opens from disk, and shows model output as text.

The page carries a content-security policy that allows its own style sheet and script by their hashes and
nothing besides: no request, no inline handler, no style attribute.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from markupsafe import Markup

from harness import files
from harness.errors import UsageError
from reports import browser, comparisons, contents, sentences, tables
from reports.collect import Evaluation, Study, collect
from reports.comparisons import Comparisons
from reports.sheet import drawn
from reports.svg import MODELS
from reports.tables import Cell, Column, Table
from reports.templating import policy, template, template_text, version


def build_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Writes one self-contained page about sweep, run and evaluation folders, and returns its path.

    ``out`` is ``report.html`` in the first folder unless given. What cannot be read becomes a warning on
    the page.

    Raises:
        UsageError: no folder is given, or none of them holds anything to report.
    """
    if not folders:
        raise UsageError("report: name at least one sweep, run or evaluation folder")
    study = collect(folders)
    if study.empty:
        raise UsageError(" ".join(study.problems))
    target = out or Path(folders[0]) / "report.html"
    files.write_text(target, render(study))
    return target


def render(study: Study) -> str:
    """The page of a study as HTML."""
    compared = comparisons.compare(study)
    warned = sentences.warnings(study, compared)
    parts = list(contents.parts(study, compared))
    questions = browser.browse(study)
    style, script = template_text("page.css"), template_text("page.js")
    sections = [{"id": "summary", "title": "Summary"}]
    sections += [{"id": part.id, "title": part.title} for part in parts]
    sections += [{"id": "samples", "title": "Samples"}] if questions else []
    sections += [{"id": "reproduce", "title": "How to reproduce"}]
    sections += [{"id": "warnings", "title": "Warnings", "badge": str(len(warned) or "")}]
    return template("page.html").render(
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        title=study.title,
        eyebrow=_eyebrow(study),
        headline=sentences.headline(study, compared),
        facts=_facts(study),
        sections=sections,
        cards=_cards(study, compared),
        summary=sentences.summary(study, compared),
        grave=sum(warning.grave for warning in warned),
        parts=[{"id": part.id, "title": part.title, "blocks": map(drawn, part.items)} for part in parts],
        questions=questions,
        rule=browser.RULE,
        benchmarks=study.benchmarks(),
        models=study.models(),
        stamps=list(_stamps(study)),
        protocols=_protocols(study),
        warnings=warned,
        version=version(),
    )


def _eyebrow(study: Study) -> str:
    if study.arms:
        return "Comparison of arms · report"
    if study.sweeps:
        return "GRPO sweep · report"
    return "Training run · report" if study.runs else "Evaluation · report"


def _facts(study: Study) -> list[tuple[str, str]]:
    """The line under the headline: policy, size, machine, date, commit."""
    sources = study.sources()
    if not sources:
        return [("Models", str(len(study.models()))), ("Benchmarks", ", ".join(study.benchmarks()))]
    first = sources[0]
    facts = [("Policy", str((first.experiment.get("policy") or {}).get("model") or "–"))]
    if study.sweeps:
        facts.append(("Trials", str(sum(len(sweep.rows()) for sweep in study.sweeps))))
    samples = sum(q.n for e in study.evaluations for q in e.questions.values())
    if samples:
        facts.append(("Graded samples", f"{samples:,}"))
    manifest = first.manifest
    if manifest.get("hardware"):
        facts.append(("Machine", _machine(manifest["hardware"])))
    if manifest.get("time"):
        facts.append(("Started", str(manifest["time"]).replace("T", " ").replace("Z", " UTC")))
    if manifest.get("commit"):
        facts.append(("Commit", str(manifest["commit"])[:10]))
    return facts


def _machine(hardware: Mapping[str, Any]) -> str:
    devices = [str(device) for device in hardware.get("accelerators") or []]
    names = [f"{devices.count(name)} × {name}" for name in dict.fromkeys(devices)]
    return ", ".join(
        [*names, f"{hardware.get('cores', '?')} cores", f"{hardware.get('memory_gib', '?')} GiB"]
    )


def _cards(study: Study, compared: Comparisons) -> list[dict[str, Any]]:
    """A card per benchmark: the reference and the group with the largest difference from it."""
    cards = []
    for benchmark in study.benchmarks():
        shown = [e for e in study.evaluations if e.benchmark == benchmark]
        found = [one for one in compared.differences if one.benchmark == benchmark]
        top = max(found, key=lambda one: one.value, default=None)
        groups = [shown[0].group] if top is None else [top.reference, top.model]
        sides = [_side(group, [e for e in shown if e.group == group]) for group in groups]
        for side, colour in zip(sides, MODELS, strict=False):
            side["colour"] = colour
        card: dict[str, Any] = {"benchmark": benchmark, "sides": sides, "difference": None}
        card["alt"] = f"{benchmark}: " + ", ".join(f"{side['label']} {side['text']}%" for side in sides)
        if top is not None:
            card["difference"] = tables.points(top.value, top.low, top.high, top.significant)
            card["mood"] = "no" if not top.significant else "yes" if top.value > 0 else "worse"
            card["verdict"] = "significant at 5%" if top.significant else "not told apart from zero"
        cards.append(card)
    return cards


def _side(group: str, members: Sequence[Evaluation]) -> dict[str, Any]:
    """One side of a card: the mean over the group's seeds, where it has one, and each seed's interval."""
    cells = [tables.percent(evaluation.scores.get("pass@1")) for evaluation in members]
    values = [cell.value for cell in cells if cell.value is not None]
    averaged = values and not comparisons.incomparable(members)
    mean = tables.percent(sum(values) / len(values)) if averaged else Cell("–")
    return {"label": group, "text": mean.text, "cells": cells}


def _stamps(study: Study) -> list[dict[str, Any]]:
    """What it takes to do each sweep and run again."""
    stamps = []
    for one in study.sources():
        manifest = one.manifest
        if not manifest and not one.experiment:
            continue
        versions = manifest.get("versions") or {}
        facts = [
            ("Commit", manifest.get("commit") or "not in a checkout"),
            ("Python", manifest.get("python") or "–"),
            (
                "Seeds",
                ", ".join(f"{name} {seed}" for name, seed in (manifest.get("seeds") or {}).items()) or "–",
            ),
            ("Machine", _machine(manifest["hardware"]) if manifest.get("hardware") else "–"),
            ("Processor", (manifest.get("hardware") or {}).get("processor") or "–"),
            ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items()) or "–"),
            *((f"Data: {name}", digest) for name, digest in (manifest.get("data") or {}).items()),
        ]
        stamps.append(
            {
                "title": one.folder.name,
                "command": shlex.join(str(word) for word in manifest.get("command") or []),
                "facts": facts,
                "experiment": tomli_w.dumps(dict(one.experiment)) if one.experiment else "",
            }
        )
    return stamps


def _protocols(study: Study) -> Table | None:
    """How each benchmark was sampled, a row per protocol that differs."""
    rows: dict[tuple[str, ...], tuple[Cell, ...]] = {}
    names: dict[str, None] = {}
    flat = [(e.benchmark, _flatten(e.scores.get("protocol") or {})) for e in study.evaluations]
    for _, protocol in flat:
        names |= dict.fromkeys(protocol)
    for benchmark, protocol in flat:
        cells = (Cell(benchmark), *(Cell(protocol.get(name, "–")) for name in names))
        rows[tuple(cell.text for cell in cells)] = cells
    if not names:
        return None
    columns = (Column("benchmark", "Benchmark", "text"), *(Column(name, name) for name in names))
    return Table("protocols", "Protocols", "How responses were sampled.", columns, tuple(rows.values()))


def _flatten(protocol: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in protocol.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value)
        elif value not in (None, [], ""):
            flat[key] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return flat
