"""Results on the terminal: short, aligned tables; colours only where there is a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evals.audit_file import Audit
from evals.compare import SIGNIFICANT, Comparison
from evals.duels import win_rate
from evals.lm_eval import LmEvalResult
from evals.scores import Scores
from evals.statistics import Estimate
from harness.data_files import FileState
from harness.doctor import Check

if TYPE_CHECKING:
    from harness.arms import Result as ArmsResult
    from harness.plan.plan import Plan
    from harness.sweep.simulate import Result
    from reports.reproduce import Reproduced

HEADINGS = ("benchmark", "n × k", "pass@1 [95%]", "cons@k [95%]", "unparsed", "cut")
"""Of the result tables; "cut" is the share of responses that the length limit ended."""


@dataclass(frozen=True)
class SweepResult:
    """What a finished sweep has to show."""

    folder: Path
    summary: dict[str, Any]
    scores: dict[str, list[Scores]]
    report: Path


def scores_table(scores: Sequence[Scores], model: str = "") -> None:
    """One line per benchmark: pass@1 and cons@k with intervals, and what could not be graded.

    ``model`` is what the model is called; without it, as the scores name it (in scores.json by its hash,
    where this program sampled it; by its own name in a file of somebody's responses).
    """
    table = _table(None)
    named = bool(model) or any(each.model for each in scores)
    if named:
        table.add_column("model")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "benchmark" else "right", no_wrap=True)
    for each in scores:
        table.add_row(*([model or Path(each.model).name] if named else []), *_scores_row(each))
    Console(highlight=False).print(table)
    for each in scores:
        for line in _duel_lines(each):
            Console(highlight=False).print(f"{each.benchmark}: {line}", markup=False)
        for warning in each.warnings:
            Console(stderr=True, highlight=False).print(f"{each.benchmark}: {warning}", markup=False)


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
    table = _table("by lm-eval")
    for heading in ("task", "metric", "value", "stderr"):
        table.add_column(heading, justify="left" if heading in ("task", "metric") else "right")
    for suite in suites:
        for task, row in suite.figures.items():
            for metric, value, stderr in figures_of(row):
                table.add_row(escape(task), escape(metric), value, stderr)
    Console(highlight=False).print(table)


def figures_of(row: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """lm-eval's metrics of a task: name with its filter, value, and standard error where it has one."""
    found = []
    for name, value in row.items():
        metric, _, kept = name.partition(",")
        if kept and not metric.endswith("_stderr"):
            error = row.get(f"{metric}_stderr,{kept}")
            label = metric if kept == "none" else f"{metric} ({kept})"
            found.append((label, f"{value:.4f}", "–" if error is None else f"{error:.4f}"))
    return found


def audit_table(audit: Audit) -> None:
    """One line for each response on which two graders disagree, and how many were compared."""
    table = _table(None)
    for heading in ("id", "sample", "gold", "answer", "graded", audit.against):
        table.add_column(heading, overflow="fold")
    for row in audit.rows:
        answers = (row.first.answer or "–", row.first.status, row.second.status)
        table.add_row(*map(escape, (row.id, str(row.sample), row.gold, *answers)))
    console = Console(highlight=False)
    if audit.rows:
        console.print(table)
    console.print(f"{len(audit.rows)} of {audit.compared} responses are judged differently.", markup=False)


def _scores_row(scores: Scores) -> list[str]:
    least, most = scores.samples
    k = scores.ks[-1]
    total = sum(question.n for question in scores.questions)
    consensus = interval(scores.cons_at_k(k)) if scores.votes and k > 1 else "–"
    return [
        scores.benchmark,
        f"{len(scores.questions)} × {least if least == most else f'{least}–{most}'}",
        interval(scores.pass_at_1()),
        consensus,
        percent(sum(question.unparsed for question in scores.questions) / total),
        percent(sum(question.truncated for question in scores.questions) / total),
    ]


def comparison_table(comparisons: Sequence[Comparison]) -> None:
    """The paired differences, a block for each pair, significant ones bold; then each as a sentence."""
    pairs: dict[tuple[str, str], list[Comparison]] = {}
    for each in comparisons:
        pairs.setdefault((each.a, each.b), []).append(each)
    console = Console(highlight=False)
    for (a, b), members in pairs.items():
        table = _table(f"[bold]a = {escape(a)}, b = {escape(b)}[/bold]")
        table.add_column("benchmark", min_width=16, overflow="fold")
        for heading, width in (("n", 4), ("a", 5), ("b", 5), ("a − b [95%]", 20), ("p", 7), ("p (Holm)", 8)):
            table.add_column(heading, justify="right", no_wrap=True, min_width=width)
        for each in members:
            table.add_row(*_comparison_row(each))
        console.print(table)
    for each in comparisons:
        console.print(f"• {each.sentence}", markup=False)


def plan_table(plan: Plan) -> None:
    """A part a line, then the sums, what they rest on, and what to beware of."""
    table = _table(None)
    table.add_column("run", overflow="fold")
    table.add_column("part", overflow="fold", min_width=14)
    for heading in ("runs", "steps", "tokens", "FLOPs", "minutes"):
        table.add_column(heading, justify="right", no_wrap=True)
    before, notes = "", dict.fromkeys(part.note for part in plan.parts if part.note)
    marks = {note: "*" * place for place, note in enumerate(notes, start=1)}
    for part in plan.parts:
        named = escape(part.run) if part.run != before else ""
        table.add_row(
            named,
            escape(part.part) + marks.get(part.note, ""),
            str(part.runs) if named else "",
            f"{part.steps:,}",
            _short(part.tokens),
            f"{part.flops:.1e}" if part.flops else "",
            f"{part.seconds / 60:,.1f}",
        )
        before = part.run
    console = Console(highlight=False)
    console.print(table)
    for note, mark in marks.items():
        console.print(f"{mark} {note}", markup=False)
    price = "" if plan.cost is None else f", {plan.cost:,.2f} at that price"
    sums = (
        f"{_short(plan.tokens)} tokens, {plan.flops:.1e} FLOPs, {plan.device_hours:,.2f} device-hours{price}"
    )
    console.print(f"{plan.name}: {sums}; {plan.memory_gib:,.1f} GiB on a device.", markup=False)
    console.print(f"Basis: {plan.basis}.", markup=False)
    for warning in plan.warnings:
        console.print(f"Note: {warning}.", markup=False)


def _short(count: float) -> str:
    """1,234,567 as 1.2M; "" for 0."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:,.1f}{letter}"
    return f"{count:,.0f}" if count else ""


def arms_table(result: ArmsResult) -> None:
    """An arm a line: what it came to on each benchmark, and what its training took, means over its seeds."""
    benchmarks = list(result.rows[0].pass_at_1)
    console = Console(highlight=False)
    figures = _table("pass@1, in %")
    costs = _table("what training took, a seed")
    for table in (figures, costs):
        table.add_column("arm", no_wrap=True)
    for heading in ("seeds", *benchmarks):
        figures.add_column(heading, justify="right", no_wrap=True)
    for heading in ("tokens", "TFLOPs", "teacher's", "all tuning", "minutes"):
        costs.add_column(heading, justify="right", no_wrap=True)
    for row in result.rows:
        means = (f"{100 * row.pass_at_1[name]:.1f}" for name in benchmarks)
        figures.add_row(escape(row.arm), str(row.seeds), *means)
        if row.tokens:
            flops = (f"{each / 1e12:,.2f}" for each in (row.flops, row.teacher_flops, row.tuning_flops))
            costs.add_row(escape(row.arm), f"{row.tokens:,.0f}", *flops, f"{row.device_seconds / 60:.1f}")
    console.print(figures)
    console.print(costs)


def differences_table(comparisons: Sequence[Comparison]) -> None:
    """The paired differences, a line each, significant ones bold; one sentence on what they are."""
    table = _table("differences")
    table.add_column("arms", no_wrap=True)
    table.add_column("benchmark", overflow="fold")
    for heading in ("points [95%]", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in comparisons:
        *_, difference, _, holm = _comparison_row(each)
        table.add_row(escape(f"{each.a} − {each.b}"), escape(each.benchmark), difference, holm)
    console = Console(highlight=False)
    console.print(table)
    clear = sum("bold" in _comparison_row(each)[4] for each in comparisons)
    console.print(
        f"{clear} of {len(comparisons)} differences are significant (bold: p below {SIGNIFICANT} after Holm "
        "and an interval without 0); intervals are for new seeds and new questions.",
        markup=False,
    )


def _comparison_row(one: Comparison) -> list[str]:
    low, high = (100 * bound for bound in one.difference.ci95)
    difference = f"{100 * one.difference.value:+.1f} \\[{low:+.1f}, {high:+.1f}]"
    clear = one.p_value_holm < SIGNIFICANT and not low <= 0 <= high
    return [
        escape(one.benchmark) + ("" if one.metric == "pass@1" else f" {escape(one.metric)}"),
        str(one.questions),
        f"{100 * one.value_a:.1f}",
        f"{100 * one.value_b:.1f}",
        f"[bold]{difference}[/bold]" if clear else difference,
        f"{one.p_value:.2g}",
        f"{one.p_value_holm:.2g}",
    ]


def reproduction(cells: Sequence[Reproduced], written: Sequence[Path]) -> None:
    """A paper's table: a line per cell that was measured, then why the others were not."""
    console = Console(highlight=False)
    measured = [cell for cell in cells if cell.ours.value is not None]
    if measured:
        table = _table(None)
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
    missing = _table(None)
    for heading in ("not run", "benchmarks", "why"):
        missing.add_column(heading, overflow="fold")
    for (model, why), benchmarks in _by_reason(cells).items():
        missing.add_row(escape(model), escape(", ".join(dict.fromkeys(benchmarks))), escape(why))
    if missing.row_count:
        console.print(missing)
    console.print(f"Written: {', '.join(str(path) for path in written)}", markup=False, soft_wrap=True)


def _by_reason(cells: Sequence[Reproduced]) -> dict[tuple[str, str], list[str]]:
    """(model, why its cells were not run, without the figures in brackets) -> benchmarks."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in (cell for cell in cells if cell.verdict == "not run"):
        one = cell.published
        place = (one.model, cell.why.partition(" (")[0]) if one.task else ("any model", "not measured here")
        found.setdefault(place, []).append(one.benchmark)
    return found


def sweep_result(result: SweepResult) -> None:
    """The winner, how it was chosen, what it is worth on the benchmarks, and where the report is."""
    console = Console(highlight=False)
    summary = result.summary
    states = [trial["state"] for trial in summary["trials"]]
    counts = ", ".join(
        f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed") if state in states
    )
    console.print(f"{len(states)} trials: {counts}", markup=False)
    console.print(summary["selection"]["verdict"], markup=False)
    if summary["pareto"] is not None:
        console.print(_pareto_table(summary))
    table = _table(None)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "benchmark" else "right", no_wrap=True)
    for name, scores in result.scores.items():
        table.add_row(f"[bold]{escape(name)}[/bold]")
        for each in scores:
            table.add_row(*_scores_row(each), end_section=each is scores[-1])
    console.print(table)
    console.print(f"Report: {result.report}", markup=False, soft_wrap=True)


def _pareto_table(summary: Mapping[str, Any]) -> Table:
    """The trials that no other beats in every objective, the best by the first objective on top."""
    objectives = summary["objectives"]
    table = _table("Not beaten in every objective")
    for heading in (
        "trial",
        *(f"{name} ({direction})" for name, direction in objectives.items()),
        "settings",
    ):
        table.add_column(heading, justify="left" if heading == "settings" else "right")
    rows = [row for row in summary["trials"] if row["number"] in summary["pareto"]]
    for row in sorted(rows, key=lambda row: row["value"], reverse=summary["direction"] == "maximize"):
        others = (f"{row['metrics'][name]:.4g}" for name in list(objectives)[1:])
        settings = ", ".join(f"{key} = {value}" for key, value in row["params"].items())
        table.add_row(
            str(row["number"]), f"{row['value']:.3f} ± {row['stderr']:.3f}", *others, escape(settings)
        )
    return table


def simulation_table(rows: Sequence[tuple[str, Result]]) -> None:
    """One line per pruner: whether the best trial survives, and what it costs."""
    table = _table(None)
    for heading in ("pruner", "best survives", "compute", "time", "idle", "regret"):
        table.add_column(heading, justify="left" if heading == "pruner" else "right", no_wrap=True)
    for name, result in rows:
        shares = (result.survived, result.compute, result.duration, result.idle)
        table.add_row(name, *(percent(share) for share in shares), f"{result.regret:.4f}")
    Console(highlight=False).print(table)


def sweep_status(summary: Mapping[str, Any]) -> None:
    """One line per trial, and what is left to do."""
    table = _table(None)
    for heading in ("trial", "state", "step", summary["objective"], "launches", "time", "why"):
        table.add_column(heading, justify="left" if heading in ("state", "why") else "right")
    for row in summary["trials"]:
        step = row.get("step", row["history"][-1]["step"] if row["history"] else None)
        table.add_row(
            str(row["number"]),
            row["state"],
            "" if step is None else str(step),
            "" if row["value"] is None else f"{row['value']:.3f} ± {row['stderr']:.3f}",
            str(row["attempts"]),
            f"{row['seconds'] / 60:.1f} min",
            escape(row["reason"]),
        )
    console = Console(highlight=False)
    console.print(table)
    ended = sum(row["state"] != "running" for row in summary["trials"])
    console.print(f"{ended} of {summary['planned']} trials have ended.")
    winner = summary["winner"]
    console.print("No winner yet." if winner is None else f"The winner is trial {winner['trial']}.")
    cost = summary["cost"]
    money = "" if cost["cost"] is None else f", {cost['cost']:,.2f} at the price given"
    console.print(
        f"So far: {cost['launches']} launches, {cost['device_seconds'] / 3600:.2f} device-hours{money}, "
        f"{cost['tokens']:,} tokens, {cost['flops'] / 1e12:.3g} TFLOPs, lost and pruned work included."
    )


def data_table(found: Sequence[FileState]) -> None:
    """One line per data file."""
    table = _table(None)
    for heading in ("file", "from", "state"):
        table.add_column(heading, overflow="fold")
    for file in found:
        table.add_row(file.name, escape(file.origin), escape(file.state))
    Console(highlight=False).print(table)


def doctor_table(checks: Sequence[Check]) -> None:
    """One line per thing looked at."""
    table = _table(None)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading)
    for check in checks:
        mark = "[green]✓[/green]" if check.ok else "[yellow]–[/yellow]"
        table.add_row(mark, check.name, escape(check.found), escape(check.advice))
    Console(highlight=False).print(table)


def percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def interval(estimate: Estimate) -> str:
    """``43.3 [30.1, 57.2]``, in percent."""
    low, high = estimate.ci95
    return f"{100 * estimate.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _table(title: str | None) -> Table:
    return Table(
        title=title,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
        title_style="",
    )
