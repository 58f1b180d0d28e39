"""The commands that measure and show: eval, score, audit, rate, compare, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from evals.task import TaskError
from harness.cli import served
from harness.cli.app import (
    MEASURE,
    Device,
    Dtype,
    EngineKind,
    EngineSettings,
    Json,
    Quiet,
    app,
    engine_of,
    print_json,
)

Against = Literal["math-verify", "labels"]
TaskFile = Annotated[
    Path | None,
    typer.Option(
        help=r"A file with tables \[tasks.NAME], such as an experiment: these tasks count too. "
        "Without it those of the run or sweep that is evaluated."
    ),
]
CROWD = 6
"""From so many evaluations on, `compare` ranks them and prints the pairs with the first alone."""


@app.command(name="eval", rich_help_panel=MEASURE)
def evaluate_command(
    model: Annotated[
        str,
        typer.Argument(
            help="A hub id (OWNER/NAME@REVISION), a folder (a model's, a run's, a sweep's, an adapter's), "
            'a GGUF file, "smollm2" or "tiny"; or an experiment file (TOML): its policy is taken.'
        ),
    ],
    benchmarks: Annotated[
        str,
        typer.Option(
            help="Tasks with commas between, with a part where not all is meant: "
            "aime24,gsm8k:test[:100],mine.jsonl,lm_eval:mmlu (`harness tasks` lists them)"
        ),
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many questions of each benchmark.")
    ] = None,
    task_file: TaskFile = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Samples per question; by default the benchmark's usual.")
    ] = None,
    engine: EngineKind = "transformers",
    engine_set: EngineSettings = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="r1, greedy, or model (its generation_config.json): what the options below start from."
        ),
    ] = "r1",
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="Sampling temperature; 0 is greedy.")
    ] = None,
    top_p: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Nucleus sampling's mass.")] = None,
    top_k: Annotated[int | None, typer.Option(min=0, help="Draw from so many tokens; 0: from all.")] = None,
    min_p: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Leave out tokens below this share of the likeliest one's."),
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(min=0.01, help="Above 1: what was said already is less likely.")
    ] = None,
    thinking_budget: Annotated[
        int | None, typer.Option(min=0, help="After so many tokens inside <think> it is closed.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="A response ends before this text; may be repeated.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The longest response.")] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help='r1-zero, chat-boxed, plain, tags or "file.py:name"; by default chat-boxed, or r1-zero '
            "where the tokenizer has no chat template."
        ),
    ] = None,
    system_prompt: Annotated[
        str | None, typer.Option(help="The system message, in the template that is chosen.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The base of every sample's seed.")] = 0,
    dtype: Annotated[Dtype, typer.Option(help="The dtype of the forward pass.")] = "float32",
    revision: Annotated[str | None, typer.Option(help="The hub revision of the model (a commit).")] = None,
    device: Annotated[Device, typer.Option(help="Where it runs; auto takes a GPU if there is one.")] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Responses sampled at once; by default what memory holds.")
    ] = None,
    vllm_memory: Annotated[
        float | None,
        typer.Option(min=0.01, max=1.0, help="vLLM's share of the GPU's memory; by default what is free."),
    ] = None,
    unclosed_answers: Annotated[
        bool,
        typer.Option(
            "--unclosed-answers/--no-unclosed-answers",
            help="Whether a complete <answer> counts that ends a response whose <think> was never closed.",
        ),
    ] = True,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code that the model itself brings.")
    ] = False,
    server: served.Addresses = None,
    api: served.Api = None,
    key_env: served.KeyEnv = None,
    served_model: served.ServedModel = None,
    chat_template_kwargs: served.ChatTemplateKwargs = None,
    concurrency: served.Concurrency = None,
    price: served.Price = None,
    out: Annotated[
        Path | None, typer.Option(help="Where BENCHMARK/ folders go; by default runs/eval-MODEL.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Samples a model on benchmarks and grades it: pass@1, pass@k, cons@k with 95% intervals.

    Example: harness eval tiny --benchmarks tiny-aime,tiny-math --samples 16

    Example: harness eval Qwen/Qwen3-32B --server http://localhost:8000/v1 --benchmarks aime24
    """
    from evals.base.progress import Progress
    from harness import config
    from harness.cli import console
    from harness.cli.prompts import template_of
    from harness.models.sources import is_here, short_name
    from harness.train.benchmarks import evaluate, protocol_for, split_names

    given = {
        "revision": revision,
        "dtype": dtype,
        "device": device,
        "vllm_memory": vllm_memory,
        "trust_remote_code": trust_remote_code,
        "server": served.server_of(server, api, key_env, served_model, concurrency, price),
    }
    policy = served.policy_of(model, given)
    served.check_unused(
        policy, engine=(engine, "transformers"), engine_set=(engine_set, None), batch_size=(batch_size, None)
    )
    chosen_engine = engine_of(engine, engine_set)
    if template or system_prompt or policy.template == "auto":
        known = "" if policy.server else policy.model
        policy = policy.model_copy(update={"template": template_of(known, template, system_prompt)})
    wording = served.with_chat_settings(policy.template, chat_template_kwargs)
    policy = policy.model_copy(update={"template": wording})
    model = policy.model if model.endswith(".toml") else model
    tasks, suites = split_names(benchmarks.split(","), config.read_tasks(task_file, model), limit)
    asked = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "thinking_budget": thinking_budget,
        "stop": tuple(stop) if stop else None,
        "max_tokens": max_tokens,
        "template": policy.template,
    }
    chosen = protocol_for(policy, model, protocol, samples, seed, asked, unclosed_answers)
    folder = out or Path("runs") / f"eval-{short_name(model)}"
    measured = evaluate(
        policy,
        [(task, chosen) for task in tasks],
        folder,
        Progress(quiet),
        chosen_engine,
        suites,
        seed,
        batch_size=batch_size,
    )
    if as_json:
        print_json(measured.to_json())
    else:
        if measured.scores:
            console.scores_table(measured.scores, model=short_name(model) if is_here(model) else model)
        console.suites_table(measured.suites)
        typer.echo(f"Samples and scores: {folder}")


@app.command(rich_help_panel=MEASURE)
def score(
    file: Annotated[
        Path,
        typer.Argument(
            help='JSON lines: {"id", "response"} and optionally sample, finish_reason, gold, choices, model.'
        ),
    ],
    benchmark: Annotated[
        str, typer.Option(help='A task, or "math" or "choice" with the gold answer inline.')
    ],
    out: Annotated[Path | None, typer.Option(help="Where samples.jsonl and scores.json go.")] = None,
    task_file: TaskFile = None,
    unclosed_answers: Annotated[
        bool,
        typer.Option(
            "--unclosed-answers/--no-unclosed-answers",
            help="Whether a complete <answer> counts that ends a response whose <think> was never closed.",
        ),
    ] = True,
    as_json: Json = False,
) -> None:
    """Grades responses that any system recorded.

    With --json a list, as `harness eval` prints it: one for each model that the rows name.

    Example: harness score responses.jsonl --benchmark gsm8k --json
    """
    from evals.recorded import score_file
    from harness import config
    from harness.cli import console

    tasks = config.read_tasks(task_file)
    scores = score_file(file, benchmark, out, unclosed_answers=unclosed_answers, tasks=tasks)
    if as_json:
        print_json([each.to_json() for each in scores])
    else:
        console.scores_table(scores)


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
    task_file: TaskFile = None,
    as_json: Json = False,
) -> None:
    """Lists the responses on whose correctness two graders disagree: the rows to look at.

    Example: harness audit runs/eval-tiny/tiny-math/samples.jsonl --benchmark tiny-math
    """
    from evals.audit import audit_file
    from harness import config
    from harness.cli import console

    found = audit_file(file, benchmark, against, config.read_tasks(task_file))
    if as_json:
        print_json([row.to_json() for row in found.rows])
    else:
        console.audit_table(found)


@app.command(rich_help_panel=MEASURE)
def rate(
    folder: Annotated[Path, typer.Argument(help="An evaluation's folder that has codeforces among others.")],
    as_json: Json = False,
) -> None:
    """Turns solved Codeforces problems into a rating and a percentile, by the contests' participants.

    Example: harness rate runs/eval-mine
    """
    from evals.comparison.evaluations import read_evaluations
    from evals.comparison.rating import rate as rate_scores

    found = read_evaluations(folder)
    if "codeforces" not in found:
        raise TaskError(f"{folder}: holds no evaluation on codeforces; it has {', '.join(found)}")
    rating = rate_scores(found["codeforces"])
    if as_json:
        print_json(rating.to_json())
    else:
        typer.echo("\n".join(rating.lines()))


@app.command(rich_help_panel=MEASURE)
def compare(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Two or more evaluation folders, samples files or runs; or a sweep."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Also write a page: forest plot, flips, sentences.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Print every pair, not a ranking, where there are many.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compares evaluations question by question: difference, interval, p-value (Holm), a plain sentence.

    Of a pair the first is the baseline: differences are the second's rate minus the first's. From six
    evaluations on they are ranked, and of all pairs those with the first one are printed.

    Example: harness compare runs/quickstart/evals/base runs/quickstart/evals/winner-seed-1 --out compare.html
    """
    from evals.comparison.compare import compare_arms, read_arms
    from evals.comparison.ranking import ranks
    from harness.cli import console

    arms = read_arms(paths)
    comparisons = compare_arms(arms)
    places = ranks(arms) if len(arms) >= CROWD else {}
    if as_json:
        print_json([each.to_json() for each in comparisons])
    elif len(arms) >= CROWD and not everything:
        console.crowd_table(comparisons, places)
    else:
        console.comparison_table(comparisons)
    if out is not None:
        from reports.compare_page import write_page

        typer.echo(f"Page: {write_page(comparisons, out, places)}", err=as_json)


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
        typer.echo(f"Report: {page.resolve().as_uri()}")
        if written:
            typer.echo(f"{len(written)} files: {written[0].parent}")
