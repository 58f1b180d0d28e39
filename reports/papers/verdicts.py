"""A paper's table beside our own measurement of it: for each cell agrees, differs, or not run and why.

The rule. Both figures are measured on the same questions, so what separates them is which samples were
drawn: the standard error "on these very questions" (``stderr_benchmark`` of scores.json) of each, taken as
equal, because papers state none. They agree where they are closer than 1.96 * sqrt(2) of it plus half of
the published value's last digit. Where scores.json has no such error (one sample per question, cons@k) our
95% interval over questions decides, which is wider and says less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure as Canvas

from evals import protocols
from evals.base.errors import UsageError
from evals.stats.tables import FigureTable, ScoresTable
from evals.task import TaskError
from evals.tasks import registry
from reports.cells import Cell, Column, Table, count, percent, signed
from reports.figures.svg import BLUE, INK, MUTED, VERMILION, Entry, Figure, Panel, tag
from reports.papers import feasibility, published
from reports.papers.published import Published
from reports.study import Evaluation, Study

Verdict = Literal["agrees", "differs", "not judged", "not run"]
PROTOCOL = "r1"
"""The preset under which the tables are reproduced."""
COLOURS: Mapping[Verdict, str] = {"agrees": BLUE, "differs": VERMILION, "not judged": MUTED}
RULES = (
    "Both figures are measured on the same questions, so what separates them is which samples were drawn.",
    "They agree where they are closer than 1.96 × √2 of our standard error on these very questions (papers "
    "state none, so theirs is taken as equal) plus half of the published value's last digit.",
    "Where there is no such error (one sample per question, or a majority vote) they agree where the "
    "published value lies in our 95% interval over questions, which is wider and says less.",
    "Values recorded under another protocol are shown and not judged; those on other questions or from "
    "too few samples are left out.",
)


@dataclass(frozen=True)
class Reproduced:
    """A published value, ours where there is one, and what to make of the two."""

    published: Published
    ours: Cell
    questions: int | None
    samples: int | None
    verdict: Verdict
    why: str

    def to_json(self) -> dict[str, Any]:
        """What ``harness reproduce --json`` prints: published as printed there, ours as a fraction of 1."""
        cell, ours = self.published, None
        if self.ours.value is not None:
            ours = {"value": self.ours.value, "ci95": [self.ours.low, self.ours.high]}
        return {
            "table": cell.table,
            "model": cell.model,
            "benchmark": cell.benchmark,
            "metric": cell.metric,
            "published": float(cell.value),
            "ours": ours,
            "questions": self.questions,
            "samples": self.samples,
            "verdict": self.verdict,
            "why": self.why,
            "source": cell.source,
        }


def cells_of(table: str, papers: Sequence[Path] = ()) -> list[Published]:
    """The published values of a table.

    Raises:
        UsageError: there is no such table, or a paper's file cannot be used.
    """
    every = published.published(papers)
    cells = [cell for cell in every if cell.table == table]
    if not cells:
        raise UsageError(f"unknown table {table!r}; accepted: {', '.join(published.table_names(every))}")
    return cells


def judge(
    cells: Sequence[Published], study: Study, why_not: Mapping[tuple[str, str], str] | None = None
) -> list[Reproduced]:
    """Every cell beside what ``study`` holds.

    An evaluation belongs to the model whose name, or hub id's last part, its folder carries (``eval-``
    before it is passed over), or that scores.json names. ``why_not`` says for (model, task) why nothing was
    measured, where more is known than that nothing is recorded.
    """
    known = why_not or {}
    answers = []
    for cell in cells:
        names = {plain(cell.model), plain(cell.hub.rpartition("/")[2])} - {""}
        found = [e for e in study.evaluations if e.benchmark == cell.task and names & _names(e)]
        if not cell.task:
            answers.append(
                _not_run(cell, f"{cell.benchmark} ({cell.metric}) is not measured by this program")
            )
        elif found:
            judged = [_judge(cell, evaluation) for evaluation in found]
            answers.append(next((one for one in judged if one.verdict != "not run"), judged[0]))
        else:
            answers.append(_not_run(cell, known.get((cell.model, cell.task)) or why_not_recorded(cell)))
    return answers


def why_not_recorded(cell: Published) -> str:
    """Why nothing is recorded for a cell, and what would record it."""
    if not cell.known:
        return "the plan does not know this model"
    if cell.closed:
        return cell.closed
    if refused := refusal(cell, cell.samples, feasibility.HOURS):
        return refused
    return (
        f"no recorded evaluation; run: harness eval {cell.hub} --benchmarks {cell.task} "
        f"--protocol {PROTOCOL} --samples {cell.samples} --out runs/eval-{cell.hub.rpartition('/')[2]}"
    )


def refusal(
    cell: Published, samples: int, hours: float, max_tokens: int | None = None, served: bool = False
) -> str:
    """Why this machine should not start to measure a cell, in a clause; "" where it can.

    ``max_tokens``: the longest response, where it is not the protocol's. ``served``: a server answers, which
    takes nothing of this machine's.
    """
    questions, missing = cell.questions, ""
    if not questions:
        try:
            questions = len(registry.load_spec(cell.task)[1])
        except TaskError as error:
            missing = str(error)
    if served:
        return missing
    longest = max_tokens or protocols.get(PROTOCOL).sampling.max_tokens
    needed = feasibility.needs(cell.billions, questions, samples, longest)
    return feasibility.refusal(needed, feasibility.this_machine(), hours) or missing


def as_table(name: str, cells: Sequence[Reproduced]) -> Table:
    """The cells as a table for the page, Markdown, CSV or LaTeX."""
    source = cells[0].published.source if cells else name
    return Table(
        key=f"reproduce-{name}",
        title="Published and ours",
        caption=f"{source}, {name}: of {len(cells)} values {counted(cells)}. Percent, ours with its 95% "
        "interval over questions. A verdict asks whether the figures differ by more than the drawing of "
        "samples explains.",
        columns=(
            Column("model", "Model", "text", filter=True),
            Column("benchmark", "Benchmark", "text", filter=True),
            Column("metric", "Metric", "text"),
            Column("published", "Published"),
            Column("ours", "Ours", "interval"),
            Column("n", "n", help="questions"),
            Column("k", "k", help="samples per question"),
            Column("verdict", "Verdict", "text", filter=True),
            Column("why", "Why", "text", prose=True),
        ),
        rows=tuple(
            (
                Cell(one.published.model),
                Cell(one.published.benchmark),
                Cell(one.published.metric),
                Cell(one.published.value, float(one.published.value)),
                one.ours,
                count(one.questions),
                count(one.samples),
                Cell(one.verdict, strong=one.verdict == "differs"),
                Cell(one.why),
            )
            for one in cells
        ),
    )


def as_figure(name: str, cells: Sequence[Reproduced]) -> Figure | None:
    """What was measured, a row a cell: the published value and ours with its interval."""
    found = [one for one in cells if one.ours.value is not None]
    if not found:
        return None
    alt = "; ".join(
        f"{one.published.model}, {one.published.benchmark} {one.published.metric}: published "
        f"{one.published.value}, ours {one.ours.text}, {one.verdict}"
        for one in found
    )
    size = (9.2, 1.0 + 0.42 * len(found))
    panel = Panel(f"measured-{name}", "Published and ours", alt, partial(_draw, found), size)
    legend = (
        Entry(PUBLISHED, INK, "square"),
        *(
            Entry(f"ours, {verdict}", colour, "dot")
            for verdict, colour in COLOURS.items()
            if any(one.verdict == verdict for one in found)
        ),
    )
    caption = "Ours with its 95% interval over questions."
    return Figure(f"measured-{name}", "What was measured", caption, (panel,), legend, wide=True)


PUBLISHED = "published"


def _draw(found: Sequence[Reproduced], canvas: Canvas) -> None:
    axes = canvas.add_subplot()
    for row, one in enumerate(found):
        assert one.ours.value is not None
        colour = COLOURS[one.verdict]
        if one.ours.low is not None and one.ours.high is not None:
            bar = axes.plot(
                [100 * one.ours.low, 100 * one.ours.high], [row, row], color=colour, lw=2.2, zorder=3
            )
            tag(*bar, entry=f"ours, {one.verdict}")
        told = f"{one.published.model}, {one.published.benchmark} {one.published.metric}"
        ours = axes.plot([100 * one.ours.value], [row], "o", color=colour, ms=8, zorder=4)
        bounds = f" [{one.ours.bounds}]" if one.ours.bounds else ""
        tag(*ours, entry=f"ours, {one.verdict}", tip=f"{told}: ours {one.ours.text}{bounds}, {one.verdict}")
        theirs = axes.plot([float(one.published.value)], [row], "s", color=INK, ms=4.5, zorder=5)
        tag(*theirs, entry=PUBLISHED, tip=f"{told}: published {one.published.value}")
    labels = [f"{c.published.model} · {c.published.benchmark} {c.published.metric}" for c in found]
    axes.set_yticks(range(len(found)), labels)
    axes.tick_params(axis="y", labelsize=8.5, labelcolor=INK)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlabel("percent")
    axes.grid(visible=False)
    axes.xaxis.grid(visible=True)
    axes.spines["left"].set_visible(False)


def counted(cells: Sequence[Reproduced]) -> str:
    """ "2 agree, 1 differs, 57 were not run"."""
    words = {
        "agrees": ("agrees", "agree"),
        "differs": ("differs", "differ"),
        "not judged": ("was not judged", "were not judged"),
        "not run": ("was not run", "were not run"),
    }
    counts = {verdict: sum(cell.verdict == verdict for cell in cells) for verdict in words}
    return ", ".join(
        f"{counts[v]} {one if counts[v] == 1 else several}"
        for v, (one, several) in words.items()
        if counts[v] or v != "not judged"
    )


def _judge(cell: Published, evaluation: Evaluation) -> Reproduced:
    scores = evaluation.scores
    questions = int(scores.get("questions") or 0)
    least = evaluation.samples_per_question[0] or 0
    protocol = scores.get("protocol") or {}
    differing = protocols.differences(protocol, protocols.get(PROTOCOL))
    name = str(protocol.get("name") or "")
    if questions < cell.questions:
        return _not_run(cell, f"only {questions} of {cell.questions} questions are recorded")
    origin, usual = str(scores.get("source") or ""), registry.get(cell.task).source
    if origin not in ("", usual):
        return _not_run(cell, f"recorded on {origin}")
    estimate = _estimate(scores, cell.score)
    if estimate is None:
        return _not_run(
            cell, f"{cell.score} needs more than the {least} samples per question that are recorded"
        )
    ours = percent(estimate)
    if ours.value is None:
        return _not_run(cell, f"{cell.score} is not in {evaluation.folder.name}/scores.json")
    if differing or (differing is None and name not in ("", PROTOCOL)):
        why = (
            f"recorded with {', '.join(differing)}"
            if differing
            else f"recorded under the protocol {name}, not {PROTOCOL}"
        )
        return Reproduced(cell, ours, questions, least, "not judged", why)
    published = float(cell.value) / 100
    rounding = 0.5 * 10 ** -(len(cell.value.partition(".")[2]) + 2)
    error = estimate.get("stderr_benchmark")
    if error is None:
        low = ours.value if ours.low is None else ours.low
        high = ours.value if ours.high is None else ours.high
        close = low - rounding <= published <= high + rounding
        rule = "by our interval over questions"
    else:
        reach = 1.96 * math.sqrt(2) * float(error) + rounding
        close = abs(ours.value - published) <= reach
        rule = f"within {100 * reach:.1f} points they would agree"
    notes = [f"{signed(ours.value - published)} points; {rule}"]
    if differing is None:
        notes.append("of the protocol only the name is recorded" if name else "the protocol is not recorded")
    notes += [] if least >= cell.samples else [f"the plan takes {cell.samples} samples per question"]
    return Reproduced(cell, ours, questions, least, "agrees" if close else "differs", "; ".join(notes))


def _estimate(scores: ScoresTable, score: str) -> FigureTable | None:
    """The entry ``pass@1`` or ``cons@K`` of scores.json; None where K samples were not drawn."""
    if score == "pass@1":
        return scores.get("pass@1") or {}
    return (scores.get("cons@k") or {}).get(score.partition("@")[2])


def _not_run(cell: Published, why: str) -> Reproduced:
    return Reproduced(cell, Cell("–"), None, None, "not run", why)


def _names(evaluation: Evaluation) -> set[str]:
    """The names under which an evaluation may be recorded."""
    recorded = str(evaluation.scores.get("model") or "")
    folders = [evaluation.folder.name, evaluation.folder.resolve().parent.name]
    return {plain(name) for name in (recorded.rpartition("/")[2], evaluation.model, *folders)} - {""}


def plain(name: str) -> str:
    """A model's name as folders carry it: lower case, without ``eval-`` before it."""
    return name.lower().removeprefix("eval-")
