"""Results on the terminal: short, aligned tables; colours only where there is a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

from evals.audit import Audit
from evals.base.terminal import Terminal
from evals.base.text import duration
from evals.comparison.compare import SIGNIFICANT, Comparison, p_text, points
from evals.comparison.ranking import Place
from evals.lm_eval import LmEvalResult
from evals.scores import Scores
from evals.stats.intervals import Estimate
from evals.stats.pairwise import win_rate
from harness.cli import bills
from harness.cli.data import FileState
from harness.cli.doctor import Check
from harness.cli.questions import TaskRow

if TYPE_CHECKING:
    from harness.cli.plugins import Listed
    from harness.jobs.compare import Result as ArmsResult
    from harness.jobs.reproduce import Reproduction
    from reports.papers.verdicts import Reproduced

HEADINGS = ("benchmark", "n × k", "pass@1 [95%]", "cons@k [95%]", "unparsed", "cut")
"""Of the result tables; "cut" is the share of responses that the length limit ended."""
DIFFERENCE_HEADINGS = ("benchmark", "n", "a", "b", "b − a [95%]", "p", "p (Holm)")


def scores_table(scores: Sequence[Scores], model: str = "") -> None:
    """One line per model and benchmark: pass@1 and cons@k with intervals, and what could not be graded.

    ``model`` is what the model is called; without it, as the scores name it (in scores.json by its hash,
    where this program sampled it; by its own name in a file of somebody's responses).
    """
    table = plain_table(None)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "benchmark" else "right", no_wrap=True)
    for name in dict.fromkeys(model or each.model for each in scores):
        if name:  # on a line of its own: a column of long names would cut the figures
            table.add_row(f"[bold]{escape(name)}[/bold]")
        for each in scores:
            if (model or each.model) == name:
                table.add_row(*scores_row(each))
    Terminal().print(table)
    for each in scores:
        where = each.benchmark if model or not each.model else f"{each.benchmark}, {each.model}"
        for line in [
            *_ungraded_lines(each),
            *_timeout_lines(each),
            *_duel_lines(each),
            *bills.cost_lines(each.cost),
            *bills.judge_lines(each.judge_cost),
        ]:
            Terminal().print(f"{where}: {line}", markup=False)
        for warning in each.cautions:
            Terminal(stderr=True).print(f"{where}: {warning}", markup=False)


def _ungraded_lines(scores: Scores) -> list[str]:
    """How many responses no grader could judge, and what pass@1 would be had they all been wrong or right."""
    ungraded = sum(question.grader_errors for question in scores.questions)
    if not ungraded:
        return []
    total = sum(question.n for question in scores.questions)
    least, most = (f"{100 * bound:.1f}" for bound in scores.bounds())
    return [
        f"{ungraded} of {total} responses could not be graded (grader_error; their detail says why): "
        f"pass@1 lies between {least} and {most}"
    ]


def _timeout_lines(scores: Scores) -> list[str]:
    """How many programs ran out of time: on a busy machine some of them may be right."""
    late = sum(question.timeouts for question in scores.questions)
    if not late:
        return []
    total = sum(question.n for question in scores.questions)
    return [f"{late} of {total} programs ran past their time limit and count as wrong"]


def _duel_lines(scores: Scores) -> list[str]:
    """The win rates against a baseline, where a judge compared responses with its answers."""
    rate = win_rate(scores.questions) if scores.compared else None
    if rate is None:
        return []
    figures = {"win rate": rate, "length-controlled win rate": scores.length_controlled}
    lines = [f"{name} {interval(_estimate(row))}" for name, row in figures.items() if row]
    return [*lines, f"judged by {scores.judge['model']}"] if scores.judge else lines


def _estimate(row: Mapping[str, Any]) -> Estimate:
    return Estimate(row["value"], row["stderr"], *row["ci95"])


def suites_table(suites: Sequence[LmEvalResult]) -> None:
    """Every figure that lm-eval reports, with its standard error; nothing where there are no suites."""
    if not suites:
        return
    table = plain_table("by lm-eval")
    for heading in ("task", "metric", "value", "stderr"):
        table.add_column(heading, justify="left" if heading in ("task", "metric") else "right")
    for suite in suites:
        for task, row in suite.figures.items():
            for metric, value, stderr in figures_of(row):
                table.add_row(escape(task), escape(metric), value, stderr)
    Terminal().print(table)
    for suite in suites:
        for line in bills.cost_lines(suite.cost):
            Terminal().print(f"{suite.name}: {line}", markup=False)


def figures_of(row: Mapping[str, float | None]) -> list[tuple[str, str, str]]:
    """lm-eval's metrics of a task: name with its filter, value, and standard error where it has one."""
    found = []
    for name, value in row.items():
        metric, _, kept = name.partition(",")
        if kept and not metric.endswith("_stderr"):
            error = row.get(f"{metric}_stderr,{kept}")
            label = metric if kept == "none" else f"{metric} ({kept})"
            found.append((label, _four_decimals(value), _four_decimals(error)))
    return found


def _four_decimals(value: float | None) -> str:
    """ "–" where there is none: JSON files keep null for what is not finite."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.4f}"


def audit_table(audit: Audit) -> None:
    """One line for each response on which two graders disagree, and how many were compared."""
    table = plain_table(None)
    for heading in ("id", "sample", "gold", "answer", "graded", audit.against, "why"):
        table.add_column(heading, overflow="fold")
    for row in audit.rows:
        answers = (row.first.answer or "–", row.first.status, row.second.status)
        why = "; ".join(dict.fromkeys(filter(None, (row.first.detail, row.second.detail))))
        table.add_row(*map(escape, (row.id, str(row.sample), row.gold, *answers, why)))
    console = Terminal()
    if audit.rows:
        console.print(table)
    console.print(f"{len(audit.rows)} of {audit.compared} responses are judged differently.", markup=False)


def scores_row(scores: Scores) -> list[str]:
    """The cells of ``HEADINGS``."""
    least, most = scores.samples
    k = scores.ks[-1]
    consensus = interval(scores.cons_at_k(k)) if scores.votes and k > 1 else "–"
    return [
        escape(scores.benchmark),
        f"{len(scores.questions)} × {least if least == most else f'{least}–{most}'}",
        interval(scores.pass_at_1()),
        consensus,
        percent(scores.unparsed),
        percent(scores.truncated),
    ]


def comparison_table(comparisons: Sequence[Comparison]) -> None:
    """The paired differences, a block for each pair, significant ones bold; then each as a sentence."""
    pairs: dict[tuple[str, str], list[Comparison]] = {}
    for each in comparisons:
        pairs.setdefault((each.a, each.b), []).append(each)
    console = Terminal()
    for (a, b), members in pairs.items():
        table = plain_table(f"[bold]a = {escape(a)}, b = {escape(b)}[/bold] (a is the baseline)")
        table.add_column("benchmark", min_width=16, overflow="fold")
        for heading, width in (("n", 4), ("a", 5), ("b", 5), ("b − a [95%]", 20), ("p", 7), ("p (Holm)", 8)):
            table.add_column(heading, justify="right", no_wrap=True, min_width=width)
        for each in members:
            table.add_row(*_comparison_row(each))
        console.print(table)
    for each in comparisons:
        console.print(f"• {each.sentence}", markup=False)


def crowd_table(comparisons: Sequence[Comparison], ranks: Mapping[str, Sequence[Place]]) -> None:
    """Many evaluations: their ranking, and of all pairs those with the first one, the baseline.

    Sentences are those with a caution; what is left out is counted.
    """
    console = Terminal()
    for benchmark, places in ranks.items():
        table = plain_table(f"[bold]{escape(benchmark)}, ranked by pass@1[/bold]")
        for heading in ("rank", "model", "pass@1 [95%]", "group"):
            table.add_column(heading, justify="left" if heading == "model" else "right", no_wrap=True)
        table.columns[1].no_wrap, table.columns[1].overflow = False, "fold"
        for place in places:
            table.add_row(
                str(place.best) if place.best == place.worst else f"{place.best}–{place.worst}",
                escape(place.name),
                interval(place.estimate),
                str(place.group),
            )
        console.print(table)
    if ranks:
        console.print(
            "Ranks are those that the tests leave open, all pairs tested together; no model of a group "
            "differs significantly from the group's first.",
            markup=False,
        )
    baseline = comparisons[0].a
    against = [one for one in comparisons if one.a == baseline]
    table = plain_table(f"[bold]b against a = {escape(baseline)}[/bold] (a is the baseline)")
    table.add_column("b", overflow="fold")
    for heading in DIFFERENCE_HEADINGS:
        table.add_column(heading, justify="left" if heading == "benchmark" else "right", no_wrap=True)
    for one in against:
        table.add_row(escape(one.b), *_comparison_row(one))
    console.print(table)
    for one in against:
        if one.cautions:
            console.print(f"• {one.sentence}", markup=False)
    left = len(comparisons) - len(against)
    console.print(f"{left} other pairs: --all prints every pair, --json has them.", markup=False)


def arms_table(result: ArmsResult) -> None:
    """An arm a line: what it came to on each benchmark, and what its training took, means over its seeds."""
    benchmarks = list(result.rows[0].pass_at_1)
    console = Terminal()
    figures = plain_table("pass@1, in %")
    costs = plain_table("what training took, per seed")
    for table in (figures, costs):
        table.add_column("arm", no_wrap=True)
    for heading in ("seeds", *benchmarks):
        figures.add_column(heading, justify="right", no_wrap=True)
    for heading in ("tokens", "TFLOPs", "teacher's", "all tuning", "time"):
        costs.add_column(heading, justify="right", no_wrap=True)
    for row in result.rows:
        means = (f"{100 * row.pass_at_1[name]:.1f}" for name in benchmarks)
        figures.add_row(escape(row.arm), str(row.seeds), *means)
        if row.tokens:
            flops = (f"{each / 1e12:,.2f}" for each in (row.flops, row.teacher_flops, row.tuning_flops))
            costs.add_row(escape(row.arm), f"{row.tokens:,.0f}", *flops, duration(row.device_seconds))
    console.print(figures)
    console.print(costs)
    for each in result.controls:
        console.print(escape(each.sentence))


def differences_table(comparisons: Sequence[Comparison]) -> None:
    """The paired differences, a line each, significant ones bold; one sentence on what they are."""
    table = plain_table("differences")
    table.add_column("arms", no_wrap=True)
    table.add_column("benchmark", overflow="fold")
    for heading in ("points [95%]", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in comparisons:
        *_, difference, _, holm = _comparison_row(each)
        table.add_row(escape(f"{each.b} − {each.a}"), escape(each.benchmark), difference, holm)
    console = Terminal()
    console.print(table)
    clear = sum(each.significant for each in comparisons)
    console.print(
        f"{clear} of {len(comparisons)} differences are significant (bold: p below {SIGNIFICANT} after Holm "
        "and an interval without 0); intervals are for new seeds and new questions.",
        markup=False,
    )


def _comparison_row(one: Comparison) -> list[str]:
    found = one.difference
    difference = escape(f"{points(found.value)} [{points(found.low)}, {points(found.high)}]")
    return [
        escape(one.benchmark) + ("" if one.metric == "pass@1" else f" {escape(one.metric)}"),
        str(one.questions),
        f"{100 * one.value_a:.1f}",
        f"{100 * one.value_b:.1f}",
        f"[bold]{difference}[/bold]" if one.significant else difference,
        p_text(one.p_value),
        p_text(one.p_value_holm),
    ]


def reproduction(done: Reproduction) -> None:
    """A paper's table: a line per cell that was measured, what servers took, why the others were not."""
    console, cells = Terminal(), done.cells
    measured = [cell for cell in cells if cell.ours.value is not None]
    if measured:
        table = plain_table(None)
        for heading in ("model", "benchmark", "metric"):
            table.add_column(heading, no_wrap=heading != "model")
        for heading in ("published", "ours [95%]", "n × k"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        for cell in measured:
            one, ours = cell.published, cell.ours
            colour = "green" if cell.verdict == "agrees" else "yellow"
            table.add_row(
                *map(escape, (one.model, one.benchmark, one.metric, one.value)),
                escape(f"{ours.text} [{ours.bounds}]" if ours.bounds else ours.text),
                f"{cell.questions} × {cell.samples}",
                f"[{colour}]{cell.verdict}[/{colour}]",
            )
        console.print(table)
    for (model, task), bill in done.bills.items():
        for line in bills.cost_lines(bill):
            console.print(f"{model}, {task}: {line}", markup=False)
    missing = plain_table(None)
    for heading in ("not run", "benchmarks", "why"):
        missing.add_column(heading, overflow="fold")
    for (model, why), benchmarks in _by_reason(cells).items():
        missing.add_row(escape(model), escape(", ".join(dict.fromkeys(benchmarks))), escape(why))
    if missing.row_count:
        console.print(missing)
    console.print(f"Written: {', '.join(str(path) for path in done.files)}", markup=False, soft_wrap=True)


def _by_reason(cells: Sequence[Reproduced]) -> dict[tuple[str, str], list[str]]:
    """(model, why its cells were not run, without the figures in brackets) -> benchmarks."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in (cell for cell in cells if cell.verdict == "not run"):
        one = cell.published
        place = (one.model, cell.why.partition(" (")[0]) if one.task else ("any model", "not measured here")
        found.setdefault(place, []).append(one.benchmark)
    return found


def tasks_table(found: Sequence[TaskRow]) -> None:
    """One row per task. Titles, and the commits that data are pinned to, are left to --json."""
    table = plain_table(None)
    for heading in ("task", "grader", "questions", "data", ""):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("task", ""))
    for task in found:
        counts = ", ".join(split if n is None else f"{split} {n:,}" for split, n in task.splits.items())
        data = task.title if task.source == "generated" else task.source.partition("@")[0]
        table.add_row(task.name, task.grader, counts, escape(data), task.checked)
    Terminal().print(table)


def data_table(found: Sequence[FileState]) -> None:
    """One line per data file."""
    table = plain_table(None)
    for heading in ("file", "from", "state"):
        table.add_column(heading, overflow="fold")
    for file in found:
        table.add_row(file.name, escape(file.origin), escape(file.state))
    Terminal().print(table)


def doctor_table(checks: Sequence[Check]) -> None:
    """One line per thing looked at."""
    table = plain_table(None)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading)
    for check in checks:
        mark = "[green]✓[/green]" if check.ok else "[yellow]–[/yellow]"
        table.add_row(mark, check.name, escape(check.found), escape(check.advice))
    Terminal().print(table)


def plugins_table(plugins: Sequence[Listed]) -> None:
    """One line per thing that an experiment can name."""
    table = plain_table(None)
    for heading in ("kind", "name", "from", "settings"):
        table.add_column(heading, overflow="fold")
    for plugin in plugins:
        settings = f"[red]{escape(plugin.problem)}[/red]" if plugin.problem else ", ".join(plugin.settings)
        table.add_row(plugin.kind, escape(plugin.name), escape(plugin.origin), settings)
    Terminal().print(table)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def interval(estimate: Estimate) -> str:
    """``43.3 [30.1, 57.2]``, in percent."""
    low, high = estimate.ci95
    return f"{100 * estimate.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def plain_table(title: str | None) -> Table:
    """A table without lines beside its heading's."""
    return Table(
        title=title,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
        title_style="",
    )
