"""The command line: parse, call, print. Exit code 0: the job was done; 1: it failed; 2: bad input."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evals.tasks.task import TaskError
from harness.errors import JobError, UsageError

if TYPE_CHECKING:
    from harness.config import Experiment

EngineKind = Literal["transformers", "vllm"]
Against = Literal["math-verify", "labels"]
DataAction = Literal["list", "fetch", "check"]
TrackAction = Literal["sync"]

app = typer.Typer(
    name="harness",
    help="Sweep GRPO settings, train small reasoning models, measure honestly whether they got better.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

RUN, MEASURE, AROUND = "Train", "Measure and show", "Around it"
"""Panels of `harness --help`."""

Experiments = Annotated[
    list[Path], typer.Argument(help="Experiment files (TOML); later ones are laid over earlier ones.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", metavar="KEY=VALUE", help="Override one setting: -s grpo.beta=0.01"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only results.")]
Json = Annotated[bool, typer.Option("--json", help="Print figures as JSON on standard output.")]

_debug = False


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Settings of every command."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    # Libraries read these when they are imported: one progress bar at a time is enough, and it is ours.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    global _debug  # noqa: PLW0603
    _debug = debug


@app.command(rich_help_panel=RUN)
def quickstart(
    out: Annotated[Path, typer.Option(help="The sweep's folder.")] = Path("runs/quickstart"),
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Shows the whole thing on the embedded tiny policy: sweep, train, evaluate, report.

    Example: harness quickstart --out runs/quickstart
    """
    from harness.shipped import experiment_file

    _sweep([experiment_file("quickstart")], overrides, out, None, False, quiet, as_json)


@app.command(rich_help_panel=RUN)
def sweep(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Experiment files (TOML); later ones are laid over earlier ones."),
    ] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="The sweep's folder; by default runs/NAME.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Where the study lives (an SQLAlchemy address); by default SQLite in the folder."),
    ] = None,
    accept_space_change: Annotated[
        bool,
        typer.Option(
            "--accept-space-change", help="Go on in another space than the folder's sweep began in."
        ),
    ] = False,
    max_device_hours: Annotated[
        float | None, typer.Option(help="End the search when its trials have taken so many device-hours.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(help="End it when they have cost so much, at --price a device-hour.")
    ] = None,
    price: Annotated[float | None, typer.Option(help="Of a device-hour, in any currency.")] = None,
    status: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Only show how the sweep in this folder stands.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only write the trials of the sweep as CSV.")
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Only try the pruners on simulated learning curves.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Runs an Optuna study, confirms its winner on fresh seeds, evaluates base and winner, writes the report.

    Interrupted or killed, the same command goes on.

    Example: harness sweep experiments/quickstart.toml -s sweep.trials=24

    Example: harness sweep --status runs/quickstart
    """
    from harness import show

    if status is not None:
        from harness.sweep.status import read_summary

        summary = read_summary(status)
        return _print_json(summary) if as_json else show.sweep_status(summary)
    if export is not None and out is not None and not files:
        return _export(out, export)
    if not files:
        raise UsageError("sweep: name an experiment file, or a folder with --status DIR")
    if export is not None:
        from harness.config import read_experiment

        return _export(out or Path("runs") / read_experiment(files, overrides or ()).name, export)
    if simulate:
        return _simulate(files, overrides, as_json)
    caps = {"max_device_hours": max_device_hours, "max_cost": max_cost, "device_hour_price": price}
    given = [f"sweep.{key}={value}" for key, value in caps.items() if value is not None]
    overrides = [*(overrides or []), *given]
    _sweep(files, overrides, out, storage, accept_space_change, quiet, as_json)


@app.command(rich_help_panel=RUN)
def plan(
    files: Experiments,
    overrides: Overrides = None,
    device: Annotated[
        str | None,
        typer.Option(help="h200, h100, a100, l40s or rtx4090: by its data sheet; else tried out here."),
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="How many of them work on a run.")] = 1,
    response: Annotated[
        float | None, typer.Option(min=1, help="Tokens of a response; by default half of what is allowed.")
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Of a device-hour, in any currency.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Estimates tokens, FLOPs, memory, time and price of an experiment before anything runs.

    Without --device a few steps of every stage are tried on this machine.

    Example: harness plan experiments/distill-vs-rl.toml --device h100 --price 2.5
    """
    from harness import show
    from harness.config import read_experiment
    from harness.plan.machines import DEVICES
    from harness.plan.plan import plan_here, plan_on
    from harness.progress import Progress

    experiment = read_experiment(files, overrides or ())
    if device is None:
        found = plan_here(experiment, Progress(quiet), price)
    elif device in DEVICES:
        found = plan_on(experiment, DEVICES[device], devices, response, price)
    else:
        raise UsageError(f"--device {device}: accepted: {', '.join(DEVICES)}")
    if as_json:
        return _print_json(found.to_json())
    show.plan_table(found)


@app.command(rich_help_panel=RUN)
def train(
    files: Experiments,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/NAME.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Trains what the experiment's stages say; interrupted or killed, the same command goes on.

    Example: harness train experiments/quickstart.toml --out runs/one -s grpo.beta=0.01
    """
    from harness.config import read_experiment
    from harness.progress import Progress
    from harness.recipe import run_experiment

    experiment = read_experiment(files, overrides or ())
    folder = out or Path("runs") / experiment.name
    if experiment.compare is not None:
        return _train_arms(experiment, folder, quiet, as_json)
    state = run_experiment(experiment, folder, Progress(quiet), sys.argv)
    if as_json:
        _print_json({"folder": str(folder), "state": state})
    elif not quiet:
        typer.echo(f"{state}: {folder}")


def _train_arms(experiment: Experiment, folder: Path, quiet: bool, as_json: bool) -> None:
    from harness import show
    from harness.arms import train_and_compare
    from harness.progress import Progress

    result = train_and_compare(experiment, folder, Progress(quiet))
    if as_json:
        return _print_json(result.to_json())
    show.arms_table(result)
    show.differences_table(result.comparisons)
    typer.echo(f"Report: {result.report}")


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
        _print_json(measured.to_json())
    else:
        if measured.scores:
            show.scores_table(measured.scores)
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
        _print_json(rows[0] if len(rows) == 1 else rows)
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
        _print_json([row.to_json() for row in found.rows])
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
        _print_json(rating.to_json())
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
        _print_json([each.to_json() for each in comparisons])
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
        _print_json({"report": str(page), "files": [str(path) for path in written]})
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
        _print_json([cell.to_json() for cell in done.cells])
    else:
        show.reproduction(done.cells, done.files)
    for problem in done.problems:
        typer.echo(problem, err=True)


@app.command(rich_help_panel=AROUND)
def data(
    action: Annotated[DataAction, typer.Argument(help="list, fetch or check.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Data files by name; by default all of them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Lists the data files of the benchmarks, fetches them for offline use, or checks what is there.

    Files live in the folder that HARNESS_DATA names.

    Example: harness data fetch gsm8k_test math500
    """
    from harness import data_files, show

    found = data_files.act(action, names or [])
    if as_json:
        _print_json([vars(file) for file in found])
    else:
        show.data_table(found)


@app.command(rich_help_panel=AROUND)
def track(
    action: Annotated[TrackAction, typer.Argument(help="sync.")],
    folder: Annotated[Path, typer.Argument(help="A run, a sweep, or any folder that holds such.")],
) -> None:
    """Uploads the W&B runs that were recorded offline, those of a resumed run as one.

    Example: harness track sync runs/quickstart
    """
    from harness import tracking

    sent = tracking.sync(folder)
    typer.echo(f"{action}: {sent} uploaded" if sent else "Everything was uploaded before.")


@app.command(rich_help_panel=AROUND)
def doctor(as_json: Json = False) -> None:
    """Says what this machine has (device, vLLM, sandbox, W&B, data) and what to do about what it has not.

    Example: harness doctor
    """
    from harness import doctor as checks
    from harness import show

    found = checks.examine()
    if as_json:
        _print_json([vars(check) for check in found])
    else:
        show.doctor_table(found)


def _sweep(
    files: list[Path],
    overrides: list[str] | None,
    out: Path | None,
    storage: str | None,
    accept_space_change: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    from harness import show
    from harness.config import read_experiment
    from harness.progress import Progress
    from harness.sweep_job import sweep_and_measure

    experiment = read_experiment(files, overrides or ())
    folder = out or Path("runs") / experiment.name
    result = sweep_and_measure(experiment, folder, Progress(quiet), storage, accept_space_change)
    if as_json:
        _print_json(result.summary)
    else:
        show.sweep_result(result)


def _export(folder: Path, file: Path) -> None:
    from harness.files import write_text
    from harness.sweep.status import read_summary
    from harness.sweep.summary import trials_csv

    rows = [row for row in read_summary(folder)["trials"] if "params" in row]
    write_text(file, trials_csv(rows))
    typer.echo(f"{len(rows)} trials: {file}")


def _simulate(files: list[Path], overrides: list[str] | None, as_json: bool) -> None:
    from harness import show
    from harness.config import read_experiment
    from harness.sweep.simulate import compare_rules

    experiment = read_experiment(files, overrides or ())
    if experiment.sweep is None:
        raise UsageError(f"{experiment.name}: the experiment has no [sweep] table")
    rows = compare_rules(experiment.sweep)
    if as_json:
        _print_json([{"pruner": name, **vars(result)} for name, result in rows])
    else:
        show.simulation_table(rows)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


WrongUsage: Any = typer.BadParameter.__base__  # click's UsageError, wherever this typer keeps it
INTERRUPTED = 130


def main() -> None:
    """The entry point: turns errors that a person can mend into one sentence and an exit code."""
    try:
        code = app(standalone_mode=False) or 0
        if code == INTERRUPTED:
            typer.echo("Interrupted; the same command goes on from here.", err=True)
        sys.exit(code)
    except WrongUsage as error:
        if not error.format_message():  # no words at all: the help was printed
            sys.exit(2)
        _explain(UsageError(_usage_sentence(error)), 2)
    except (UsageError, TaskError) as error:
        _explain(error, 2)
    except (JobError, OSError) as error:  # OSError: a full disk, a file that may not be read
        _explain(error, 1)


def _usage_sentence(error: Any) -> str:
    """What is wrong with the words on the command line, and where help is."""
    command = error.ctx.command_path if error.ctx is not None else "harness"
    said = " ".join(str(error.format_message()).split()).rstrip(".")
    return f"{said}; see {command} --help"


def _explain(error: BaseException, code: int) -> None:
    if _debug:
        raise error
    typer.echo(f"error: {error}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
