"""The commands that train: quickstart, sweep, plan, train."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.base.errors import JobError, UsageError
from harness.cli.app import (
    EXPERIMENTS,
    RUN,
    Experiments,
    Json,
    Overrides,
    Quiet,
    View,
    app,
    print_json,
    sweep_folder,
    watched,
)

if TYPE_CHECKING:
    from evals.base.progress import Progress
    from harness.config import Experiment


@app.command(rich_help_panel=RUN)
def quickstart(
    tiny: Annotated[
        bool,
        typer.Option("--tiny", help="Use an embedded model of a million parameters; takes two minutes."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder. By default runs/quickstart; with --tiny, runs/tiny-quickstart."),
    ] = None,
    overrides: Overrides = None,
    view: Annotated[
        bool | None,
        typer.Option(
            "--view/--no-view",
            help="Serve live pages of it while it runs, as `harness view` does. By default, in a terminal.",
            show_default=False,
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Runs a small example from start to finish: sweep, confirmation, evaluation and report.

    SmolLM2-135M learns to add, in ten minutes on two CPU cores. If the model is not installed and cannot be
    downloaded, the embedded tiny model is used instead.

    Example: harness quickstart

    Example: harness quickstart --tiny --out runs/two-minutes
    """
    from harness.config.shipped import experiment_file

    tiny = tiny or not _smollm2_is_here()
    name, folder = ("tiny-quickstart",) * 2 if tiny else ("smollm2-sums", "quickstart")
    view = not quiet and sys.stderr.isatty() if view is None else view
    _sweep([experiment_file(name)], overrides, out or Path("runs", folder), None, False, quiet, as_json, view)


def _smollm2_is_here() -> bool:
    """Whether SmolLM2 is installed or could be downloaded. If not, prints the reason to standard error."""
    from harness.config import Policy
    from harness.models import sources

    try:
        sources.find(Policy(model="smollm2"))
    except JobError as error:
        typer.echo(f"{error}\nUsing the embedded tiny model instead, as with --tiny.", err=True)
        return False
    return True


@app.command(rich_help_panel=RUN)
def sweep(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Experiment files (TOML). Settings in later files override those in earlier ones."
        ),
    ] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="The sweep's folder. By default runs/NAME.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="SQLAlchemy URL of the study. By default, an SQLite file in the sweep's folder."),
    ] = None,
    accept_space_change: Annotated[
        bool,
        typer.Option(
            "--accept-space-change",
            help="Resume although the search space has changed since the sweep began.",
        ),
    ] = False,
    max_device_hours: Annotated[
        float | None, typer.Option(help="Stop the search once its trials have used this many device-hours.")
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(help="Stop the search once its trials have cost this much, at --price per device-hour."),
    ] = None,
    price: Annotated[float | None, typer.Option(help="Price of a device-hour, in any currency.")] = None,
    status: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", callback=sweep_folder, help="Show the state of the sweep in this folder, and exit."
        ),
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", callback=sweep_folder, help="Show the sweep in this folder live, until it ends."
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the trials of an existing sweep to a CSV file, and exit."),
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Try the pruners on simulated learning curves, and exit.")
    ] = False,
    curves: Annotated[
        str | None,
        typer.Option(
            metavar="SHAPE",
            help="Shape of the simulated curves: exponential (the default), sigmoid or peaking.",
        ),
    ] = None,
    view: View = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Runs an Optuna study, confirms its winner on fresh seeds, evaluates base and winner, writes a report.

    If it is interrupted or killed, running the same command again resumes it.

    Example: harness sweep experiments/tiny-quickstart.toml -s sweep.trials=24

    Example: harness sweep --status runs/quickstart

    Example: harness sweep --watch runs/quickstart
    """
    from harness.cli import sweep_tables

    if status is not None:
        from harness.sweep.status import read_summary

        summary = read_summary(status)
        return print_json(summary.table()) if as_json else sweep_tables.sweep_status(summary)
    if watch is not None:
        from harness.cli.sweep_watch import watch as show

        try:
            return show(watch)
        except KeyboardInterrupt:
            return None
    if export is not None and out is not None and not files:
        return _export(out, export)
    if not files:
        raise UsageError("sweep: give an experiment file, or --status DIR or --watch DIR")
    if export is not None:
        from harness.config import read_experiment

        return _export(out or Path("runs") / read_experiment(files, overrides or ()).name, export)
    if simulate:
        return _simulate(files, overrides, curves, as_json)
    if curves is not None:
        raise UsageError("--curves needs --simulate")
    caps = {"max_device_hours": max_device_hours, "max_cost": max_cost, "device_hour_price": price}
    given = [f"sweep.{key}={value}" for key, value in caps.items() if value is not None]
    overrides = [*(overrides or []), *given]
    _sweep(files, overrides, out, storage, accept_space_change, quiet, as_json, view)


@app.command(rich_help_panel=RUN)
def plan(
    files: Annotated[list[Path] | None, EXPERIMENTS] = None,
    overrides: Overrides = None,
    sizes: Annotated[
        bool,
        typer.Option("--sizes", help="Print which well-known models fit on which GPU. Needs no experiment."),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            help="Estimate for this GPU, from its data sheet: h200, h100, h100-pcie, a100, l40s, l4, a10g "
            "or rtx4090."
        ),
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="Number of GPUs per run.")] = 1,
    response: Annotated[
        float | None, typer.Option(min=1, help="Mean response length in tokens. By default, half the limit.")
    ] = None,
    price: Annotated[
        float | None, typer.Option(min=0, help="Price of a device-hour, in any currency.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Estimates the tokens, FLOPs, memory, time and price of an experiment before it runs.

    Without --device, a few steps of every stage are run on this machine and timed.

    Example: harness plan experiments/distill-vs-rl.toml --device h100 --price 2.5

    Example: harness plan --sizes --device l4
    """
    if sizes:
        if files or overrides:
            raise UsageError("plan: --sizes takes no experiment and no settings")
        return _sizes(device, devices, as_json)
    if not files:
        raise UsageError("plan: give an experiment file, or --sizes")

    from harness.config import read_experiment

    experiment = read_experiment(files, overrides or ())  # before the slow imports

    from evals.base.progress import Progress
    from evals.base.registry import accepted

    progress = Progress(quiet)
    if device is None and experiment.policy.server is None:
        progress.say("A few steps of every kind of run are tried here; --device estimates by a data sheet.")

    from harness.cli import sweep_tables
    from harness.models.devices import DEVICES
    from harness.plan.plan import plan_here, plan_on

    if device is None:
        found = plan_here(experiment, progress, price)
    elif device in DEVICES:
        found = plan_on(experiment, DEVICES[device], devices, response, price)
    else:
        raise UsageError(f"--device {device}: {accepted(device, list(DEVICES))}")
    if as_json:
        return print_json(found.to_json())
    sweep_tables.plan_table(found)


def _sizes(device: str | None, count: int, as_json: bool) -> None:
    from evals.base.registry import accepted
    from harness.cli import sweep_tables
    from harness.models.devices import DEVICES
    from harness.plan.sizes import sizes

    if device is not None and device not in DEVICES:
        raise UsageError(f"--device {device}: {accepted(device, list(DEVICES))}")
    found = sizes([device] if device else list(DEVICES), count)
    if as_json:
        return print_json([each.to_json() for each in found])
    sweep_tables.sizes_table(found, count)


@app.command(rich_help_panel=RUN)
def train(
    files: Experiments,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder. By default runs/NAME.")] = None,
    view: View = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Runs the training stages of an experiment.

    If it is interrupted or killed, running the same command again resumes it.

    Example: harness train experiments/tiny-quickstart.toml --out runs/one -s grpo.beta=0.01

    Example: torchrun --nproc-per-node 8 -m harness.cli train experiments/r1-zero.toml
    """
    from harness.config import read_experiment
    from harness.models import dist

    experiment = read_experiment(files, overrides or ())  # before the slow imports

    from harness.train.pipeline import run_experiment

    folder = out or Path("runs") / experiment.name
    if experiment.compare is not None:
        if dist.world() > 1:
            raise UsageError("compare: arms cannot be trained under torchrun; train each arm by itself")
        return _train_arms(experiment, folder, watched(folder, quiet, view), as_json)
    progress = watched(folder, quiet, view and dist.is_main())
    state = run_experiment(experiment, folder, progress, sys.argv)
    if not dist.is_main():
        return
    if as_json:
        print_json({"folder": str(folder), "state": state})
    elif not quiet:
        typer.echo(f"{state}: {folder.resolve()}")


def _train_arms(experiment: Experiment, folder: Path, progress: Progress, as_json: bool) -> None:
    from harness.cli import console
    from harness.jobs.compare import train_and_compare

    result = train_and_compare(experiment, folder, progress)
    if as_json:
        return print_json(result.recorded().table())
    console.arms_table(result)
    console.differences_table(result.comparisons)
    typer.echo(f"Report: {result.report.resolve().as_uri()}")


def _sweep(
    files: list[Path],
    overrides: list[str] | None,
    out: Path | None,
    storage: str | None,
    accept_space_change: bool,
    quiet: bool,
    as_json: bool,
    view: bool,
) -> None:
    from harness.config import read_experiment

    experiment = read_experiment(files, overrides or ())  # before the slow imports

    from harness.cli import sweep_tables
    from harness.jobs.sweep import sweep_and_measure

    folder = out or Path("runs") / experiment.name
    progress = watched(folder, quiet, view)
    result = sweep_and_measure(experiment, folder, progress, storage, accept_space_change)
    if as_json:
        print_json(result.summary.table())
    else:
        sweep_tables.sweep_result(result)


def _export(folder: Path, file: Path) -> None:
    from evals.base.io import write_text
    from harness.sweep.status import read_summary
    from harness.sweep.tabulate import trials_csv

    rows = [trial for trial in read_summary(folder).trials if trial.params]
    write_text(file, trials_csv(rows))
    typer.echo(f"{len(rows)} trials: {file}")


def _simulate(files: list[Path], overrides: list[str] | None, curves: str | None, as_json: bool) -> None:
    from evals.base.registry import accepted
    from harness.cli import sweep_tables
    from harness.config import read_experiment
    from harness.sweep.simulate import SHAPES, compare_rules

    shape = next((each for each in SHAPES if each == (curves or SHAPES[0])), None)
    if shape is None:
        raise UsageError(f"--curves {curves}: {accepted(str(curves), list(SHAPES))}")
    experiment = read_experiment(files, overrides or ())
    if experiment.sweep is None:
        raise UsageError(f"{experiment.name}: the experiment has no [sweep] table")
    rows = compare_rules(experiment.sweep, shape=shape)
    if as_json:
        print_json([{"pruner": name, **vars(result)} for name, result in rows])
    else:
        sweep_tables.simulation_table(rows)
