"""The commands that measure and show: eval, score, audit, rate, compare, report, reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from evals.tasks.task import TaskError
from harness.cli.app import MEASURE, EngineKind, Json, Quiet, app, print_json

Against = Literal["math-verify", "labels"]


@app.command(name="eval", rich_help_panel=MEASURE)
def evaluate_command(
    model: Annotated[str, typer.Argument(help='A Hugging Face hub id, a folder, or "tiny".')],
    benchmarks: Annotated[
        str, typer.Option(help="Task names with commas between: aime24,math500,lm_eval:mmlu")
    ],
    samples: Annotated[
        int | None, typer.Option(min=1, help="Samples a question; by default the benchmark's usual.")
    ] = None,
    engine: Annotated[EngineKind, typer.Option(help="What samples the model.")] = "transformers",
    protocol: Annotated[str, typer.Option(help="r1 or greedy: what the options below start from.")] = "r1",
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="Sampling temperature; 0 is greedy.")
    ] = None,
    top_p: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Nucleus sampling's mass.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The longest response.")] = None,
    template: Annotated[
        str | None, typer.Option(help="Prompt template: r1-zero, chat-boxed, plain or tags.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The base of every sample's seed.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Where BENCHMARK/ folders go; by default runs/eval-MODEL.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Samples a model on benchmarks and grades it: pass@1, pass@k, cons@k with 95% intervals.

    Example: harness eval tiny --benchmarks tiny-aime,tiny-math --samples 16
    """
    from evals import protocols
    from harness import config, show
    from harness.evaluate import evaluate, split_names
    from harness.progress import Progress
    from harness.tiny.build import SIZES

    tasks, suites = split_names(benchmarks.split(","))
    asked = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "template": template}
    if model in SIZES:  # pretrained on one template, and with few positions
        asked = {"template": "tags", "max_tokens": 256, **{k: v for k, v in asked.items() if v is not None}}
    changes = {key: value for key, value in asked.items() if value is not None}
    chosen = protocols.get(protocol).changed(**changes)
    chosen = chosen.changed(seed=seed) if samples is None else chosen.changed(seed=seed, samples=samples)
    folder = out or Path("runs") / f"eval-{Path(model).name}"
    measured = evaluate(
        config.Policy(model=model),
        [(task, chosen) for task in tasks],
        folder,
        Progress(quiet),
        engine,
        suites,
        seed,
    )
    if as_json:
        print_json(measured.to_json())
    else:
        if measured.scores:
            local = Path(model).exists()
            show.scores_table(measured.scores, model=Path(model).resolve().name if local else model)
        show.suites_table(measured.suites)
        typer.echo(f"Samples and scores: {folder}")


@app.command(rich_help_panel=MEASURE)
def score(
    file: Annotated[
        Path,
        typer.Argument(
            help='JSON lines: {"id", "response"} and optionally sample, finish_reason, gold, model.'
        ),
    ],
    benchmark: Annotated[
        str, typer.Option(help='A task, or "math" or "choice" with the gold answer inline.')
    ],
    out: Annotated[Path | None, typer.Option(help="Where samples.jsonl and scores.json go.")] = None,
    as_json: Json = False,
) -> None:
    """Grades responses that any system recorded.

    Example: harness score responses.jsonl --benchmark gsm8k --json
    """
    from evals.score_file import score_file
    from harness import show

    scores = score_file(file, benchmark, out)
    if as_json:
        rows = [each.to_json() for each in scores]
        print_json(rows[0] if len(rows) == 1 else rows)
    else:
        show.scores_table(scores)


@app.command(rich_help_panel=MEASURE)
def audit(
    file: Annotated[Path, typer.Argument(help="Responses as for `harness score`, or a samples.jsonl.")],
    benchmark: Annotated[
        str, typer.Option(help='A task, or "math" or "choice" with the gold answer inline.')
    ],
    against: Annotated[
        Against,
        typer.Option(help='A second opinion: math-verify, or "labels", the rows\' own "correct".'),
    ] = "math-verify",
    as_json: Json = False,
) -> None:
    """Lists the responses on whose correctness two graders disagree: the rows to look at.

    Example: harness audit runs/eval-tiny/tiny-math/samples.jsonl --benchmark tiny-math
    """
    from evals.audit_file import audit_file
    from harness import show

    found = audit_file(file, benchmark, against)
    if as_json:
        print_json([row.to_json() for row in found.rows])
    else:
        show.audit_table(found)


@app.command(rich_help_panel=MEASURE)
def rate(
    folder: Annotated[Path, typer.Argument(help="An evaluation's folder that has codeforces among others.")],
    as_json: Json = False,
) -> None:
    """Turns solved Codeforces problems into a rating and a percentile, by the contests' participants.

    Example: harness rate runs/eval-mine
    """
    from evals.compare import read_evaluations
    from evals.elo import rate as rate_scores

    found = read_evaluations(folder)
    if "codeforces" not in found:
        raise TaskError(f"{folder}: holds no evaluation on codeforces; it has {', '.join(found)}")
    rating = rate_scores(found["codeforces"])
    if as_json:
        print_json(rating.to_json())
    else:
        error = "" if rating.stderr is None else f" ± {rating.stderr:.0f}"
        over = f"{len(rating.contests)} contests" if len(rating.contests) > 1 else "one contest"
        typer.echo(f"Rating {rating.rating:.0f}{error} over {over}, percentile {rating.percentile:.1f}")


@app.command(rich_help_panel=MEASURE)
def compare(
    paths: Annotated[list[Path], typer.Argument(help="Evaluation folders or samples files, two or more.")],
    out: Annotated[
        Path | None, typer.Option(help="Also write a page: forest plot, flips, sentences.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compares evaluations question by question: difference, interval, p-value (Holm), a plain sentence.

    Example: harness compare runs/quickstart/evals/base runs/quickstart/evals/winner-seed-1 --out compare.html
    """
    from evals.compare import compare as compare_paths
    from harness import show

    comparisons = compare_paths(paths)
    if as_json:
        print_json([each.to_json() for each in comparisons])
    else:
        show.comparison_table(comparisons)
    if out is not None:
        from reports.compare_page import write_page

        typer.echo(f"Page: {write_page(comparisons, out)}", err=as_json)


@app.command(rich_help_panel=MEASURE)
def report(
    folders: Annotated[list[Path], typer.Argument(help="Sweep, run or evaluation folders.")],
    out: Annotated[
        Path | None, typer.Option(help="The page; by default report.html in the first folder.")
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(help="Tables and figures as files too: md,csv,tex,png,svg, with commas between."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Writes one self-contained HTML page about what the folders hold.

    Example: harness report runs/quickstart

    Example: harness report runs/arm-a runs/arm-b --out arms.html --export csv,tex,svg
    """
    from reports.export import check_formats, export_tables
    from reports.page import build_report

    formats = check_formats([name.strip() for name in export.split(",")]) if export else []
    page = build_report(folders, out)
    written = export_tables(folders, formats, page.with_suffix("") if out else None) if formats else []
    if as_json:
        print_json({"report": str(page), "files": [str(path) for path in written]})
    else:
        typer.echo(f"Report: {page}")
        if written:
            typer.echo(f"{len(written)} files: {written[0].parent}")


@app.command(rich_help_panel=MEASURE)
def reproduce(
    table: Annotated[str, typer.Argument(help="table2, table4, table5, table6, or one of a --paper.")],
    recorded: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="DIR", help="Judge by the samples recorded here; run nothing."),
    ] = None,
    papers: Annotated[
        list[Path] | None,
        typer.Option("--paper", metavar="FILE", help="Another paper's values: a CSV as in reports/paper/."),
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Run these alone: published names with commas between.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Samples a question; by default the plan's.")
    ] = None,
    hours: Annotated[float, typer.Option(min=0.0, help="Start no evaluation that would take longer.")] = 24.0,
    engine: Annotated[EngineKind, typer.Option(help="What samples the models.")] = "transformers",
    out: Annotated[
        Path | None, typer.Option(help="Where evaluations and tables go; by default runs/reproduce-TABLE.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measures a table of the DeepSeek-R1 paper: ours beside the published value, and a verdict per cell.

    Runs or resumes what this machine can do; what it cannot says why. Writes Markdown, CSV, LaTeX and HTML.

    Example: harness reproduce table5 --models DeepSeek-R1-Distill-Qwen-1.5B --engine vllm

    Example: harness reproduce table5 --from runs/recorded
    """
    from harness import show
    from harness.progress import Progress
    from reports import reproduce_job as job

    folder, progress = out or Path("runs") / f"reproduce-{table}", Progress(quiet)
    if recorded:
        done = job.from_recordings(table, recorded, folder, progress, papers or ())
    else:
        names = tuple(name.strip() for name in models.split(",")) if models else ()
        settings = job.Settings(engine, names, samples, hours)
        done = job.run_plan(table, folder, progress, settings, papers or ())
    if as_json:
        print_json([cell.to_json() for cell in done.cells])
    else:
        show.reproduction(done.cells, done.files)
    for problem in done.problems:
        typer.echo(problem, err=True)
