"""A paper's table, measured: runs or resumes what is missing, judges every cell, writes every format."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals import protocols
from evals.base import io as files
from evals.base.errors import JobError, UsageError
from evals.base.progress import Progress
from evals.recorded import score_file
from evals.stats.tables import Bill
from evals.task import TaskError
from evals.tasks import registry
from evals.templates import Template
from harness import config
from harness.engines.registry import EngineKind
from harness.engines.served import ServedEngine
from harness.train.benchmarks import evaluate
from reports import costs, export
from reports.cells import Table
from reports.collect import collect
from reports.papers import feasibility, verdicts
from reports.papers.published import Published
from reports.papers.verdicts import PROTOCOL, Reproduced
from reports.sheet import Chapter, render_sheet
from reports.study import Study


@dataclass(frozen=True)
class Settings:
    """What to run of a plan: ``models`` by their published names (all where empty), ``samples`` a question
    (the plan's where None), nothing that would take longer than ``hours``. A ``server`` answers for the
    models that it serves under their hub ids, or for the one model under the name that it is given there,
    and nothing is measured here besides. Where
    ``max_tokens`` or ``template`` are other than the protocol's, the figures are shown and not judged.
    """

    engine: EngineKind = "transformers"
    models: tuple[str, ...] = ()
    samples: int | None = None
    hours: float = feasibility.HOURS
    max_tokens: int | None = None
    template: str | Template | None = None
    server: config.Server | None = None


@dataclass(frozen=True)
class Reproduction:
    """The judged cells, the files they were written to, and what could not be used, a sentence each.

    ``bills`` has what a server took for its answers, by model and task, where its price is known.
    """

    cells: list[Reproduced]
    files: list[Path]
    problems: list[str]
    bills: Mapping[tuple[str, str], Bill]

    @property
    def measured(self) -> int:
        """For how many cells there is a value of ours."""
        return sum(cell.ours.value is not None for cell in self.cells)


def run_plan(
    table: str, out: Path, progress: Progress, settings: Settings, papers: Sequence[Path] = ()
) -> Reproduction:
    """Evaluates what the table's plan names and this machine can do into ``out/evals/MODEL/TASK``.

    What is there is not done again; interrupted, the same call goes on. A model that cannot be loaded or
    sampled leaves its cells "not run" with the reason, and the others go on.

    Raises:
        UsageError: an unknown table or model, a paper's file that cannot be used, or a name at the server
            for other than one model.
        JobError: the server does not say what it serves.
    """
    cells = verdicts.cells_of(table, papers)
    for name in settings.models:
        if name not in {cell.model for cell in cells}:
            known = ", ".join(dict.fromkeys(cell.model for cell in cells))
            raise UsageError(f"{table} has no model {name!r}; accepted: {known}")
    served = _served(settings) if settings.server is not None else ()
    why_not = {}
    for cell in _measurable(cells, settings):
        folder = out / "evals" / cell.model
        reason = _measure(cell, folder, progress, settings, served)
        if reason:
            why_not[cell.model, cell.task] = reason
    study = collect([path for path in sorted((out / "evals").glob("*")) if path.is_dir()])
    return _write(table, out, verdicts.judge(cells, study, why_not), study, study.problems)


def from_recordings(
    table: str, folders: Sequence[Path], out: Path, progress: Progress, papers: Sequence[Path] = ()
) -> Reproduction:
    """Judges the table by recorded samples alone; nothing is sampled.

    ``folders`` are searched for evaluations (BENCHMARK/scores.json in a folder named after the model) and
    for samples not graded yet: BENCHMARK/samples.jsonl or BENCHMARK.jsonl with the rows of ``harness
    score``, the model named in the rows or by the folder. The latter are graded into ``out/recorded``.

    Raises:
        UsageError: an unknown table, a folder that is not there, or a paper's file that cannot be used.
    """
    cells = verdicts.cells_of(table, papers)
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder")
    wanted = list(dict.fromkeys(cell.task for cell in cells if cell.task))
    problems = []
    for folder in folders:
        found = [path for path in sorted(folder.rglob("*.jsonl")) if _ungraded(path, wanted)]
        if not found and not _evaluations(folder):
            accepted = ", ".join(f"{name}.jsonl" for name in wanted)
            problems.append(f"{folder}: contains no evaluation, and no file named {accepted} to grade.")
        for path in found:
            progress.say(f"grading {path}")
            try:
                _grade(path, out / "recorded")
            except TaskError as error:
                problems.append(f"{error}; it is left out.")
    study = collect([path for folder in [*folders, out / "recorded"] for path in _evaluations(folder)])
    return _write(table, out, verdicts.judge(cells, study), study, [*problems, *study.problems])


def _measurable(cells: Sequence[Published], settings: Settings) -> list[Published]:
    """A cell for each model and task that can be evaluated at all; of its metrics the most samples.

    A model without published weights can be where the server's name for it is given.
    """
    named = settings.models if settings.server is not None and settings.server.model else ()
    found: dict[tuple[str, str], Published] = {}
    for cell in cells:
        key = (cell.model, cell.task)
        if cell.task and (cell.model in named or (cell.hub and not cell.closed)):
            found[key] = max(found.get(key, cell), cell, key=lambda one: one.samples)
    return list(found.values())


def _served(settings: Settings) -> Sequence[str]:
    """The names that the server has for models.

    Raises:
        UsageError, JobError: as ``run_plan``.
    """
    assert settings.server is not None
    if settings.server.model:
        if len(settings.models) != 1:
            raise UsageError("--served-model names one model at the server: name its row with --models")
        return [settings.server.model]
    told = ServedEngine(config.Policy(model="", server=settings.server)).models()
    return [str(each.get("id")) for each in told]


def _measure(
    cell: Published, folder: Path, progress: Progress, settings: Settings, served: Sequence[str]
) -> str:
    """Evaluates one model on one task; why it could not, in a clause, or "".

    ``served``: the names of models at the server, where one is asked.
    """
    if settings.models and cell.model not in settings.models:
        return "not selected by --models"
    server = settings.server
    if server is not None and not server.model and cell.hub not in served:
        return f"{cell.hub} is not served at {server.addresses[0]}"
    task = registry.get(cell.task)
    samples = settings.samples or cell.samples
    at_server = server is not None
    if refused := verdicts.refusal(cell, samples, settings.hours, settings.max_tokens, at_server):
        return refused
    changes = {"max_tokens": settings.max_tokens, "template": settings.template}
    given = {key: value for key, value in changes.items() if value is not None}
    protocol = protocols.get(PROTOCOL).changed(samples=samples, **given)
    name = cell.hub or cell.model
    policy = config.Policy(model=name, **({"server": server} if server else {"dtype": "bfloat16"}))
    try:
        evaluate(policy, [(task, protocol)], folder, progress, settings.engine)
    except (UsageError, TaskError, JobError, OSError) as error:
        return " ".join(str(error).split())
    return ""


def _ungraded(path: Path, wanted: Sequence[str]) -> bool:
    """Whether a file holds samples of one of these tasks that nobody has graded."""
    if path.name == "samples.jsonl":
        return path.parent.name in wanted and not (path.parent / "scores.json").exists()
    return path.stem in wanted


def _grade(path: Path, out: Path) -> None:
    """Grades a file of samples into ``out/FOLDER``, where FOLDER bears the model's name or holds the file."""
    single = path.name == "samples.jsonl"
    benchmark = path.parent.name if single else path.stem
    owner = (path.parent.parent if single else path.parent).resolve().name
    score_file(path, benchmark, out / owner)


def _evaluations(folder: Path) -> list[Path]:
    """The folders beneath that hold graded benchmarks, a folder a model."""
    return sorted({path.parent.parent for path in folder.rglob("scores.json")})


def _write(table: str, out: Path, cells: list[Reproduced], study: Study, problems: list[str]) -> Reproduction:
    shown = verdicts.as_table(table, cells)
    written = []
    for name, render in export.TABLE_FORMATS.items():
        written.append(out / f"{table}.{name}")
        files.write_text(written[-1], render(shown))
    written.append(out / f"{table}.html")
    paid = {(e.model, e.benchmark): bill for e in study.evaluations if (bill := e.scores.get("cost"))}
    files.write_text(written[-1], _page(table, cells, costs.table(study) if paid else None, problems))
    return Reproduction(cells, written, problems, paid)


def _page(table: str, cells: Sequence[Reproduced], cost: Table | None, problems: Sequence[str]) -> str:
    measured, figure = [c for c in cells if c.ours.value is not None], verdicts.as_figure(table, cells)
    shown = sorted(cells, key=lambda cell: cell.ours.value is None)  # what was measured comes first
    sources = ", ".join(dict.fromkeys(cell.published.source for cell in cells))
    return render_sheet(
        title=f"{sources}, {table.replace('table', 'table ')}",
        eyebrow="Published and ours",
        headline=f"Of {len(cells)} published values {verdicts.counted(cells)}.",
        chapters=[
            Chapter("measured", "Measured", () if figure is None else (figure,)),
            Chapter("cells", "Every cell", (verdicts.as_table(table, shown),)),
            Chapter("cost", "Cost", () if cost is None else (cost,)),
            Chapter("rule", "How a verdict is made", sentences=verdicts.RULES if measured else ()),
            Chapter("warnings", "Warnings", sentences=tuple(problems)),
        ],
        command=shlex.join(["harness", *sys.argv[1:]]),
        elsewhere=f"{table}.csv beside this page has them all.",
    )
