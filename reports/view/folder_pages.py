"""What the page of a sweep, a run, a comparison or an evaluation shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tomli_w

from evals.base.secrets import mask
from evals.base.text import printable
from harness.sweep import attempts
from harness.sweep.status import SweepStatus, read_summary
from harness.sweep.summary import Trial
from reports.cells import Table
from reports.figures import sweep as sweep_figures
from reports.figures import training
from reports.reading import launches, read_metrics, read_toml
from reports.study import Study
from reports.view import live, places, samples, tables
from reports.view.dress import Link, Section
from reports.view.links import Links
from reports.view.pictures import Block, Pictures
from reports.view.places import Place
from reports.view.sample_pages import Listed, listed
from reports.view.standing import Standing, best_trial, run_standing, standing, sweep_standing

PANELS = 6
"""Learning curves that are drawn."""
NEWEST = 6
"""Completions of training on a run's own page."""
TABULATED = ("sweep", "comparison")
"""Kinds of folders of whose report there is a page with all tables."""
LOG = 64 * 1024
"""Bytes of a log's end that are shown."""


@dataclass(frozen=True)
class View:
    """Where pages are made for: the root, its links, and drawings that are kept."""

    root: Path
    links: Links
    pictures: Pictures

    def key(self, path: Path) -> str:
        """The path below the root."""
        key = path.relative_to(self.root).as_posix()
        return "" if key == "." else key


def page_of(view: View, place: Place) -> tuple[Standing, list[Section]]:
    """How a place stands, and the sections of its page; empty ones are left out."""
    if place.kind == "sweep":
        stands, sections = _sweep(view, place)
    elif place.kind == "run":
        stands, sections = _run(view, place)
    else:
        stands = standing(place)
        inside = places.below(place.folder, place.key) if place.kind == "comparison" else []
        table = tables.index([(each, standing(each)) for each in inside], view.links)
        sections = [Section("runs", "", (table,) if inside else ())]
    sections += [_evaluations(view, place), _report(view, place), _experiment(place.folder)]
    if stands.reason:
        sections.insert(0, Section("reason", "Why it ended", sentences=(printable(stands.reason),)))
    return stands, [section for section in sections if not section.empty]


def _sweep(view: View, place: Place) -> tuple[Standing, list[Section]]:
    folder = place.folder
    summary = read_summary(folder)
    stands = sweep_standing(folder, summary)
    sweep = live.sweep_of(folder, summary, stands.state)
    stamp = (
        [(trial, len(frame)) for trial, frame in sweep.trials.items()],
        [(trial, [len(run.metrics) for run in runs]) for trial, runs in sweep.confirm.items()],
    )
    draw = view.pictures.draw
    leader = best_trial(summary)
    best = None if leader is None else leader.number
    figures = [
        draw(place.key, training.learning(sweep, best), (stamp, best), PANELS),
        draw(place.key, training.resources(sweep, best), (stamp, best)),
        draw(place.key, sweep_figures.timeline(sweep), (stamp, [t.state for t in summary.trials])),
    ]
    addresses = {
        number: view.links.folder(view.key(launched[-1]))
        for number in sweep.trials
        if (launched := launches(folder / "trials" / str(number)))
    }
    work = tables.at_work(_at_work(view, folder, summary))
    failed = [t for t in sweep.rows() if t.state == "failed"]
    told = tuple(f"Trial {t.number} failed: {printable(t.reason) or 'no reason recorded'}." for t in failed)
    verdict = "" if stands.live else summary.selection.verdict
    return stands, [
        Section("now", "", (work,) if work else ()),
        Section("verdict", "Verdict", sentences=(printable(verdict),) if verdict else ()),
        Section("curves", "Training", _there(figures)),
        Section("trials", "", (tables.trials(sweep, addresses),) if sweep.rows() else (), told),
        _confirmations(view, folder),
    ]


def _at_work(
    view: View, folder: Path, summary: SweepStatus
) -> list[tuple[str, str, Standing, pd.DataFrame, Trial | None]]:
    """The launches that nobody saw end."""
    trials = {trial.number: trial for trial in summary.trials}
    found: list[tuple[str, str, Standing, pd.DataFrame, Trial | None]] = []
    for job in [*sorted((folder / "trials").glob("*")), *sorted((folder / "confirm").glob("*/*"))]:
        launched = attempts.attempts_of(job)
        if not launched or launched[-1].ended is not None:
            continue
        number = int(job.name) if job.name.isdecimal() else None
        run = launched[-1].folder
        frame = read_metrics(run / "metrics.jsonl", [])
        name = f"trial {number}" if number is not None else f"{job.parent.name} {job.name}".replace("-", " ")
        address = view.links.folder(view.key(run))
        trial = None if number is None else trials.get(number)
        found.append((name, address, run_standing(run, frame), frame, trial))
    return found


def _confirmations(view: View, folder: Path) -> Section:
    links = tuple(
        Link(f"{job.parent.name} {job.name}".replace("-", " "), view.links.folder(view.key(launched[-1])))
        for job in sorted((folder / "confirm").glob("*/*"))
        if (launched := launches(job))
    )
    return Section("confirmation", "Trained again with fresh seeds", links=links)


def _run(view: View, place: Place) -> tuple[Standing, list[Section]]:
    run = live.run_of(place.folder, places.title(place.folder))
    stands = run_standing(place.folder, run.metrics)
    stamp = len(run.metrics)
    study = Study(runs=[run])
    figures = [
        view.pictures.draw(place.key, training.runs(study), stamp, PANELS),
        view.pictures.draw(place.key, training.rewards(run), stamp),
        view.pictures.draw(place.key, training.run_resources(study), stamp),
    ]
    kept = samples.sources(view.root, place.folder, training=True)
    links: tuple[Link, ...] = ()
    rows: tuple[Listed, ...] = ()
    if kept:
        orders = {"newest": "newest", "best": "highest reward", "worst": "lowest reward"}
        links = tuple(
            Link(text, view.links.samples(place.key, True, {"order": order} if view.links.served else {}))
            for order, text in orders.items()
            if view.links.served or order == "newest"
        )
        page = samples.read_page(kept, samples.Filters(), "newest", size=NEWEST)
        rows = tuple(listed(found, view.links, {}) for found in page.rows) if view.links.served else ()
    log = _log(place.folder)
    return stands, [
        Section("advice", "Warnings", sentences=tuple(map(printable, stands.advice))),
        Section("curves", "Training", _there(figures)),
        Section("completions", "What it wrote in training", links=links, rows=rows),
        Section("log", "Log", text=log, folded=stands.state != "failed"),
    ]


def _there(blocks: Sequence[Block | None]) -> tuple[Table | Block, ...]:
    return tuple(block for block in blocks if block is not None)


def _log(folder: Path) -> str:
    """The end of what the process printed."""
    path = folder / "log.txt"
    if not path.is_file():
        return ""
    with path.open("rb") as handle:
        size = handle.seek(0, 2)
        handle.seek(max(0, size - LOG))
        text = handle.read().decode("utf-8", "replace")
    if size > LOG:
        text = f"⟦… the last {LOG // 1024} KiB of {size // 1024:,} …⟧\n{text.partition(chr(10))[2]}"
    lines = [
        line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")
    ]  # bars redraw theirs
    return printable(mask("\n".join(lines))).strip()


def _evaluations(view: View, place: Place) -> Section:
    found = []
    for source in samples.sources(view.root, place.folder):
        query = {"model": source.model, "benchmark": source.benchmark} if view.links.served else {}
        href = view.links.samples(place.key, False, query)
        found.append((source.model, source.path.parent, href))
    table = tables.evaluations(found)
    every = view.links.samples(place.key, False, {})
    links = (Link("every sample", every),) if len(found) > 1 else ()
    return Section("evaluations", "", (table,) if table else (), links=links)


def _report(view: View, place: Place) -> Section:
    links = [Link("tables in full", view.links.tables(place.key))] if place.kind in TABULATED else []
    if (place.folder / "report.html").is_file():
        links.insert(0, Link("report.html", view.links.report(place.key)))
    return Section("report", "Report", links=tuple(links))


def _experiment(folder: Path) -> Section:
    experiment = read_toml(folder / "experiment.toml", [])
    text = printable(tomli_w.dumps(experiment)) if experiment else ""
    return Section("experiment", "experiment.toml, as it runs", text=text, folded=True)
