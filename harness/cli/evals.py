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
    sweep_folder,
)

Against = Literal["math-verify", "labels"]
TASK_FILE = r"A TOML file with \[tasks.NAME] tables, such as an experiment: its tasks can be named too."
TaskFile = Annotated[Path | None, typer.Option(help=TASK_FILE)]
ModelTaskFile = Annotated[
    Path | None,
    typer.Option(help=f"{TASK_FILE} By default, the tasks of the run or sweep that is evaluated."),
]
Benchmark = Annotated[
    str,
    typer.Option(help='A task; or "math" or "choice", with the gold answer in each row.'),
]
UnclosedAnswers = Annotated[
    bool,
    typer.Option(
        "--unclosed-answers/--no-unclosed-answers",
        help="Whether to grade a complete <answer> at the end of a response whose <think> was never closed.",
    ),
]
CROWD = 6
"""From this many evaluations on, `compare` ranks them and prints only the pairs with the first one."""


@app.command(name="eval", rich_help_panel=MEASURE)
def evaluate_command(
    model: Annotated[
        str,
        typer.Argument(
            callback=sweep_folder,
            help="A Hugging Face model (OWNER/NAME@REVISION); a folder with a model, an adapter, a run or a "
            'sweep; a GGUF file; "smollm2" or "tiny"; or an experiment file (TOML), for its policy.',
        ),
    ],
    benchmarks: Annotated[
        str,
        typer.Option(
            help="Comma-separated tasks or files, each optionally with a split and a slice: "
            "aime24,gsm8k:test[:100],mine.jsonl,lm_eval:mmlu (`harness tasks` lists the tasks)"
        ),
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use only the first N questions of each benchmark.", metavar="N")
    ] = None,
    task_file: ModelTaskFile = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Samples per question. By default, the benchmark's usual number."),
    ] = None,
    engine: EngineKind = "transformers",
    engine_set: EngineSettings = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="Where the sampling options below get their defaults: r1, greedy, or model (the model's own "
            "generation_config.json)."
        ),
    ] = "r1",
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="Sampling temperature. 0 means greedy.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Nucleus (top-p) sampling threshold.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=0, help="Sample from the k most likely tokens only. 0 means all tokens.")
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Drop tokens less likely than this fraction of the most likely one."
        ),
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(min=0.01, help="Values above 1 make repeated tokens less likely.")
    ] = None,
    thinking_budget: Annotated[
        int | None, typer.Option(min=0, help="Close <think> after this many tokens.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="End the response before this text. Can be repeated.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Maximum length of a response, in tokens.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help='Prompt template: r1-zero, chat-boxed, plain, tags or "file.py:name". By default chat-boxed '
            "if the tokenizer has a chat template, else r1-zero."
        ),
    ] = None,
    system_prompt: Annotated[str | None, typer.Option(help="Replace the template's system message.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed from which each sample's own seed is derived.")] = 0,
    dtype: Annotated[Dtype, typer.Option(help="Data type of the forward pass.")] = "float32",
    revision: Annotated[str | None, typer.Option(help="Revision of the model on the hub (a commit).")] = None,
    device: Annotated[Device, typer.Option(help="Where to run. auto uses a GPU if there is one.")] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Responses sampled at once. By default, as many as fit in memory."),
    ] = None,
    vllm_memory: Annotated[
        float | None,
        typer.Option(min=0.01, max=1.0, help="Fraction of GPU memory for vLLM. By default, what is free."),
    ] = None,
    unclosed_answers: UnclosedAnswers = True,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
    ] = False,
    server: served.Addresses = None,
    api: served.Api = None,
    key_env: served.KeyEnv = None,
    served_model: served.ServedModel = None,
    chat_template_kwargs: served.ChatTemplateKwargs = None,
    concurrency: served.Concurrency = None,
    price: served.Price = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder, with a folder per benchmark. By default runs/eval-MODEL."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Samples a model on benchmarks and grades the responses: pass@1, pass@k and cons@k with 95% intervals.

    Example: harness eval tiny --benchmarks tiny-aime,tiny-math --samples 16

    Example: harness eval Qwen/Qwen3-32B --server http://localhost:8000/v1 --benchmarks aime24
    """
    from evals.base.progress import Progress
    from harness import config
    from harness.cli import console
    from harness.cli.prompts import template_of
    from harness.models.sources import is_here, short_name
    from harness.train.benchmarks import evaluate, protocol_for, split_names

    written = served.policy_in(model)
    own = None if written is None else written.server
    given = {
        "revision": revision,
        "dtype": dtype,
        "device": device,
        "vllm_memory": vllm_memory,
        "trust_remote_code": trust_remote_code,
        "server": served.server_of(server, api, key_env, served_model, concurrency, price, own),
    }
    policy = served.policy_of(model, written, given)
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
        suites_max_tokens=max_tokens,
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
            help='A JSON Lines file of {"id", "response"} rows, with optional sample, finish_reason, gold, '
            "choices and model; or the samples file of another evaluation program."
        ),
    ],
    benchmark: Benchmark,
    out: Annotated[
        Path | None, typer.Option(help="Write samples.jsonl and scores.json to this folder.")
    ] = None,
    task_file: TaskFile = None,
    unclosed_answers: UnclosedAnswers = True,
    as_json: Json = False,
) -> None:
    """Grades recorded responses, from any system.

    With --json, prints a list as `harness eval` does, with one entry per model named in the rows.

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
    file: Annotated[Path, typer.Argument(help="Responses as for `harness score`, or a samples.jsonl file.")],
    benchmark: Benchmark,
    against: Annotated[
        Against,
        typer.Option(help='The second grader: math-verify, or "labels" for the "correct" field of the rows.'),
    ] = "math-verify",
    task_file: TaskFile = None,
    as_json: Json = False,
) -> None:
    """Lists the responses that two graders judge differently.

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
    folder: Annotated[
        Path, typer.Argument(callback=sweep_folder, help="An evaluation folder that includes codeforces.")
    ],
    as_json: Json = False,
) -> None:
    """Converts solved Codeforces problems into a rating and a percentile among the contests' participants.

    Example: harness rate runs/eval-mine
    """
    from evals.comparison.evaluations import read_evaluations
    from evals.comparison.rating import rate as rate_scores

    found = read_evaluations(folder)
    if "codeforces" not in found:
        raise TaskError(f"{folder}: no evaluation on codeforces, only {', '.join(found)}")
    rating = rate_scores(found["codeforces"])
    if as_json:
        print_json(rating.to_json())
    else:
        typer.echo("\n".join(rating.lines()))


@app.command(rich_help_panel=MEASURE)
def compare(
    paths: Annotated[
        list[Path],
        typer.Argument(
            callback=sweep_folder, help="Two or more evaluation folders, samples files or runs; or one sweep."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Also write an HTML page with a forest plot, the questions that flipped, and the sentences."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Print every pair, even where there are many.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compares evaluations question by question: difference, interval, p-value (Holm), plain-English verdict.

    The first of each pair is the baseline: a difference is the second's rate minus the first's. With six
    or more evaluations, they are ranked, and only the pairs with the first one are printed.

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
    folders: Annotated[
        list[Path], typer.Argument(callback=sweep_folder, help="Folders of sweeps, runs or evaluations.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file to write. By default report.html in the first folder.")
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(help="Also write tables and figures as files. Comma-separated: md,csv,tex,png,svg."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Writes one self-contained HTML page about the given sweeps, runs and evaluations.

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
