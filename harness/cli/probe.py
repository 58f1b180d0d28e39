"""The command that asks whether a model has seen benchmarks: probe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evals.base.errors import UsageError
from evals.base.terminal import Terminal
from evals.base.text import printable
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
from harness.cli.evals import ModelTaskFile


@app.command(rich_help_panel=MEASURE)
def probe(
    model: Annotated[str, typer.Argument(help="As for `harness eval`.")],
    benchmarks: Annotated[
        str, typer.Option(help="Comma-separated tasks, as for `harness eval`: gsm8k,math500[:200]")
    ],
    against: Annotated[
        str | None,
        typer.Option(
            help="A task that the model cannot have seen, to compare with: questions written after it was "
            "trained, or a paraphrase of the benchmark."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use only the first N questions of each task.", metavar="N")
    ] = None,
    task_file: ModelTaskFile = None,
    engine: EngineKind = "transformers",
    engine_set: EngineSettings = None,
    dtype: Annotated[Dtype, typer.Option(help="Data type of the forward pass.")] = "float32",
    revision: Annotated[str | None, typer.Option(help="Revision of the model on the hub (a commit).")] = None,
    device: Annotated[Device, typer.Option(help="Where to run. auto uses a GPU if there is one.")] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Responses sampled at once. By default, as many as fit in memory."),
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
    ] = False,
    server: served.Addresses = None,
    api: served.Api = None,
    key_env: served.KeyEnv = None,
    served_model: served.ServedModel = None,
    concurrency: served.Concurrency = None,
    price: served.Price = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. By default runs/probe-MODEL.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Checks whether a model has seen benchmarks: it completes questions, and answers without reasoning.

    The model is given the first three fifths of each question and completes it greedily; then it is asked
    for the bare answer. The same command resumes. `harness report` shows the result, too.

    Example: harness probe Qwen/Qwen2.5-7B --benchmarks math500,gsm8k:test[:200] --against mine-2026.jsonl
    """
    from evals.base.progress import Progress
    from harness import config
    from harness.jobs import contamination
    from harness.models.sources import short_name
    from harness.train.benchmarks import known_tasks

    written = served.policy_in(model)
    own = None if written is None else written.server
    given = {
        "revision": revision,
        "dtype": dtype,
        "device": device,
        "trust_remote_code": trust_remote_code,
        "server": served.server_of(server, api, key_env, served_model, concurrency, price, own),
    }
    policy = served.policy_of(model, written, given)
    served.check_unused(
        policy, engine=(engine, "transformers"), engine_set=(engine_set, None), batch_size=(batch_size, None)
    )
    model = policy.model if model.endswith(".toml") else model
    tasks = config.read_tasks(task_file, model)
    names = benchmarks.split(",")
    if any(name.strip().startswith("lm_eval:") for name in names):
        raise UsageError(
            "--benchmarks: the questions of lm-eval's tasks cannot be cut; take a task of `harness tasks`"
        )
    chosen = known_tasks(names, tasks, limit)
    beside = known_tasks([against], tasks, limit)[0] if against else None
    folder = out or Path("runs") / f"probe-{short_name(model)}"
    found = contamination.probe(
        policy, chosen, beside, folder, Progress(quiet), engine_of(engine, engine_set), batch_size
    )
    if as_json:
        print_json(found.to_json())
        return
    for sentence in found.sentences():
        Terminal().print(printable(sentence), markup=False, soft_wrap=True)
    typer.echo(f"Completions and answers: {folder}")
