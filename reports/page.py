"""The report: one HTML file that needs nothing else, opens from disk, and shows model output as text.

The page carries a content-security policy that allows its own style sheet and script by their hashes and
nothing besides: no request, no inline handler, no style attribute.
"""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tomli_w
from markupsafe import Markup

from evals.base import io
from evals.base.errors import UsageError
from evals.base.text import printable
from harness.train.manifest import Hardware, Manifest
from reports import comparisons, guide, prose
from reports import sections as contents
from reports.blocks import Blocks
from reports.cells import Cell, Column, Table, percent, points
from reports.collect import collect
from reports.comparisons import Comparisons
from reports.figures.svg import MODELS
from reports.samples import browser, training
from reports.samples.browser import QuestionView
from reports.sheet import ROWS
from reports.study import Evaluation, Study, Sweep
from reports.templating import policy, script_text, template, template_text, version
from reports.winner import winner_of

T = TypeVar("T")
LIMIT = 1_300_000
"""Bytes of a page with its samples: it is sent by mail."""
LINKS = 30_000
"""Bytes that links to samples take, about."""
ATTEMPTS = 3
"""Times that samples are chosen anew because the page came out longer than its limit."""
EXPORTED = "harness report --export csv writes them all."
IN_VIEW = "harness view shows them all under “tables in full”, and harness report --export csv writes them."
COMMIT = re.compile("[0-9a-f]{7,64}")
CHECKOUT = """git clone ADDRESS grpo-harness && cd grpo-harness
git checkout {commit}
python -m venv .venv && . .venv/bin/activate
pip install -c constraints.txt ."""
"""How to get the code that ran; where it is kept, a manifest does not say."""
NOT_MADE = "The folder holds something that this version does not know; `harness --debug report` says where."

if TYPE_CHECKING:
    SystemPath = Path
else:  # before Python 3.12 only the class of this system's paths can be subclassed
    SystemPath = type(Path())


class Report(SystemPath):
    """The path of a page that was written; a notebook shows the page, in a frame that can do nothing else."""

    def _repr_html_(self) -> str:
        page = html.escape(self.read_text(encoding="utf-8"), quote=True)
        frame = f'<iframe sandbox="allow-scripts" srcdoc="{page}" width="100%" height="640"></iframe>'
        return f"<p>{html.escape(str(self))}</p>{frame}"


def build_report(folders: Sequence[Path], out: Path | None = None) -> Report:
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
    target = Report(out or Path(folders[0]) / "report.html")
    io.write_text(target, render(study))
    return target


def render(study: Study) -> str:
    """The page of a study as HTML. A part of it that fails costs that part and a warning, never the page.

    Questions with their samples fill what the rest of the page leaves of ``LIMIT``.
    """
    problems: list[str] = []
    compared = _tried("Comparisons", partial(comparisons.compare, study), problems) or Comparisons((), ())
    stages = _tried("Completions of training", partial(training.completions, study), problems) or []
    blocks = Blocks(study, compared, bool(stages), problems)
    known = _without_samples(study, compared, problems) | {"stages": stages}

    def with_samples(questions: Sequence[QuestionView]) -> str:
        parts = blocks.parts(browser.anchors(questions, study))
        return _page(study, known, parts, questions, problems)

    text = with_samples([])
    room = LIMIT - len(text.encode()) - LINKS
    for _ in range(ATTEMPTS):
        questions = _tried("Samples", partial(browser.browse, study, compared, room), problems)
        if not questions:
            return text if not problems else with_samples([])
        page = with_samples(questions)
        over = len(page.encode()) - LIMIT
        if over <= 0:
            return page
        room -= over
    return text


def _without_samples(study: Study, compared: Comparisons, problems: list[str]) -> dict[str, Any]:
    """What the page's template needs and no sample has a part in."""
    style, script = template_text("page.css"), script_text()
    return {
        "policy": policy(style, script),
        "style": Markup(style),
        "script": Markup(script),
        "title": printable(study.title),
        "eyebrow": _eyebrow(study),
        "headline": _tried("Headline", partial(prose.headline, study, compared), problems) or "",
        "facts": _tried("Facts", partial(_facts, study), problems) or [],
        "cards": _tried("Summary, cards", partial(_cards, study, compared), problems) or [],
        "summary": _tried("Summary", partial(prose.summary, study, compared), problems) or [],
        "how_to": guide.how_to,
        "about": guide.about(study.benchmarks()),
        "glossary": guide.GLOSSARY,
        "rule": browser.RULE,
        "benchmarks": study.benchmarks(),
        "models": _models(study),
        "stamps": _tried("How to reproduce", partial(_stamps, study), problems) or [],
        "protocols": _tried("Protocols", partial(_protocols, study), problems),
        "told": _tried("Warnings", partial(prose.warnings, study, compared), problems) or [],
        "rows": ROWS,
        "elsewhere": IN_VIEW if study.in_one_folder else EXPORTED,
        "version": version(),
    }


def _page(
    study: Study,
    known: Mapping[str, Any],
    parts: Sequence[Mapping[str, Any]],
    questions: Sequence[QuestionView],
    problems: Sequence[str],
) -> str:
    warned = [*(prose.Warning(problem, True, NOT_MADE) for problem in problems), *known["told"]]
    sections = [{"id": "summary", "title": "Summary"}]
    sections += [{"id": str(part["id"]), "title": str(part["title"])} for part in parts]
    sections += [{"id": "samples", "title": "Samples"}] if questions else []
    sections += [{"id": "reproduce", "title": "How to reproduce"}]
    sections += [{"id": "warnings", "title": "Warnings", "badge": str(len(warned) or "")}]
    sections += [{"id": "glossary", "title": "Glossary"}]
    return template("page.html").render(
        **known,
        sections=sections,
        parts=parts,
        questions=questions,
        short_of=browser.short_of(questions, study),
        grave=[warning for warning in warned if warning.grave],
        minor=[warning for warning in warned if not warning.grave],
    )


def _models(study: Study) -> list[tuple[str, str]]:
    """The models with the groups that comparisons know them by."""
    return list({e.model: (e.model, e.group) for e in study.evaluations}.values())


def _tried(what: str, make: Callable[[], T], problems: list[str]) -> T | None:
    """What ``make`` makes; None, and a sentence in ``problems``, where it fails."""
    try:
        return make()
    except Exception as error:
        problems.append(contents.failure(what, error))
        return None


def _eyebrow(study: Study) -> str:
    if study.arms:
        return "Comparison of arms · report"
    if study.sweeps:
        return "GRPO sweep · report"
    return "Training run · report" if study.runs else "Evaluation · report"


def _facts(study: Study) -> list[tuple[str, str]]:
    """The line under the headline: policy, size, machine, date, commit."""
    started = study.started()
    if not started:
        return [("Models", str(len(study.models()))), ("Benchmarks", ", ".join(study.benchmarks()))]
    first = started[0]
    facts = [("Policy", str((first.experiment.get("policy") or {}).get("model") or "–"))]
    if study.sweeps:
        facts.append(("Trials", str(sum(len(sweep.rows()) for sweep in study.sweeps))))
    samples = sum(q.n for e in study.evaluations for q in e.questions.values())
    if samples:
        facts.append(("Graded samples", f"{samples:,}"))
    manifest = first.manifest or Manifest()
    if manifest.hardware:
        facts.append(("Machine", _machine(manifest.hardware)))
    if manifest.time:
        facts.append(("Started", manifest.time.replace("T", " ").replace("Z", " UTC")))
    if manifest.commit:
        facts.append(("Commit", manifest.commit[:10]))
    return facts


def _machine(hardware: Hardware) -> str:
    devices = hardware.accelerators
    names = [f"{devices.count(name)} × {name}" for name in dict.fromkeys(devices)]
    return ", ".join([*names, f"{hardware.cores or '?'} cores", f"{hardware.memory_gib or '?'} GiB"])


def _cards(study: Study, compared: Comparisons) -> list[dict[str, Any]]:
    """A card per benchmark: the reference and the group with the largest difference from it."""
    cards = []
    for benchmark in study.benchmarks():
        shown = [e for e in study.evaluations if e.benchmark == benchmark]
        top = compared.largest(benchmark)
        groups = [shown[0].group] if top is None else [top.a, top.b]
        sides = [_side(group, [e for e in shown if e.group == group]) for group in groups]
        for side, colour in zip(sides, MODELS, strict=False):
            side["colour"] = colour
        card: dict[str, Any] = {"benchmark": benchmark, "sides": sides, "difference": None}
        card["alt"] = f"{benchmark}: " + ", ".join(f"{side['label']} {side['text']}%" for side in sides)
        if top is not None:
            card["difference"] = points(top.difference.value, *top.difference.ci95, top.significant)
            card["mood"] = "no" if not top.significant else "yes" if top.difference.value > 0 else "worse"
            card["verdict"] = "significant at 5%" if top.significant else "not significant"
        cards.append(card)
    return cards


def _side(group: str, members: Sequence[Evaluation]) -> dict[str, Any]:
    """One side of a card: the mean over the group's seeds, where it has one, and each seed's interval."""
    cells = [percent(evaluation.scores.get("pass@1")) for evaluation in members]
    values = [cell.value for cell in cells if cell.value is not None]
    averaged = values and not comparisons.incomparable(members)
    mean = percent(sum(values) / len(values)) if averaged else Cell("–")
    return {"label": group, "text": mean.text, "cells": cells}


def _stamps(study: Study) -> list[dict[str, Any]]:
    """What it takes to do each sweep, comparison and run again."""
    stamps = []
    for one in study.started():
        if one.manifest is None and not one.experiment:
            continue
        manifest = one.manifest or Manifest()
        commit = (manifest.commit or "").removesuffix("+dirty")
        facts = [
            ("Commit", manifest.commit or "not in a checkout"),
            ("Python", manifest.python or "–"),
            (
                "Seeds",
                ", ".join(f"{name} {seed}" for name, seed in manifest.seeds.items()) or "–",
            ),
            ("Machine", _machine(manifest.hardware) if manifest.hardware else "–"),
            ("Processor", (manifest.hardware and manifest.hardware.processor) or "–"),
            (
                "Versions",
                ", ".join(" ".join(pair) for pair in manifest.versions.items()) or "–",
            ),
            *((f"Data: {name}", digest) for name, digest in manifest.data.items()),
        ]
        stamps.append(
            {
                "title": one.folder.name,
                "checkout": CHECKOUT.format(commit=commit) if COMMIT.fullmatch(commit) else "",
                "dirty": (manifest.commit or "").endswith("+dirty"),
                "command": shlex.join(_as_typed(manifest.command)),
                "winner": winner_of(one) if isinstance(one, Sweep) else None,
                "facts": facts,
                "experiment": tomli_w.dumps(dict(one.experiment)) if one.experiment else "",
            }
        )
    return stamps


def _as_typed(command: Sequence[str]) -> list[str]:
    """A command as anybody can type it: this program by its name, wherever it lay."""
    first, *rest = command or ("",)
    ours = first.endswith(("/harness", "harness/cli/__main__.py"))
    return ["harness" if ours else first, *rest] if first else []


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
    told = "How responses were sampled. A preset of which something was changed is named so."
    return Table("protocols", "Protocols", told, columns, tuple(rows.values()))


def _flatten(protocol: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in protocol.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value)
        elif key == "name":  # what was changed has columns of its own
            preset, comma, _ = str(value).partition(",")
            flat[key] = f"{preset}, changed" if comma else preset
        elif value not in (None, [], ""):
            flat[key] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return flat
