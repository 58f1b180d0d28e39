"""What a study cost: tokens, FLOPs and time, part by part, from metrics.jsonl, data/ and scores.json."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from evals.base.text import duration
from harness.sweep.costs import LaunchCost, SweepLedger
from harness.train.ledger import FLOPS, LEDGER, RunLedger
from harness.train.ledger import Cost as StageCost
from reports.cells import Cell, Column, Table, count, number
from reports.reading import read_file
from reports.study import Study, Sweep, Training

SHARES = ("rollout", "reward", "update", "dev")
"""The parts of a training step that metrics.jsonl times, as ``seconds/NAME``."""

JUDGE_OF = "judge of "
JUDGES = " A judge's tokens are those that it wrote; its price is of what it read, too."
MOST_MODELS = 12
"""Models whose evaluations have a row each; of more there is one row."""


@dataclass(frozen=True)
class Cost:
    """One part of a study. ``seconds`` by what they were spent on; None where nothing says.

    ``flops`` are model FLOPs of sampling and learning, ``wall`` is the processes' own time, start-up and
    retries included, in seconds. ``price`` is what a server took for its answers.
    """

    part: str
    runs: int | None
    steps: int | None
    tokens: float | None
    flops: float | None
    seconds: Mapping[str, float]
    wall: float | None
    price: float | None = None


def costs(study: Study) -> list[Cost]:
    """The parts in the order they ran: a sweep's trials, its fresh seeds, single runs, evaluations."""
    return [
        *(cost for sweep in study.sweeps for cost in _sweep(sweep, len(study.sweeps) > 1)),
        *(cost for run in study.runs if not run.metrics.empty for cost in _run(run)),
        *_evaluations(study),
    ]


def table(study: Study) -> Table | None:
    """A row per part and their sum; None where there is nothing to count."""
    found = costs(study)
    if not found:
        return None
    priced = any(cost.price is not None for cost in found)
    rows = [_row(cost, priced) for cost in found]
    if len(found) > 1:
        rows.append(_row(_total(found), priced, strong=True))
    return Table(
        key="costs",
        title="What it cost",
        caption="Tokens are those that were sampled, or learned from in supervised stages; TFLOPs are what "
        "the model's mathematics needs, no padding, no recomputation. Time of training, by what it was "
        "spent on; wall is the time of the processes, with start-up, saving and what was tried again. Pruned "
        "and failed trials are included. Evaluations do not log their time apart."
        + (JUDGES if any(cost.part.startswith(JUDGE_OF) for cost in found) else ""),
        columns=(
            Column("part", "Part", "text"),
            Column("runs", "Runs"),
            Column("steps", "Steps", help="training steps"),
            Column("tokens", "Tokens", help="sampled or learned from"),
            Column("tflops", "TFLOPs", help="10^12 floating point operations of the model"),
            *(Column(f"minutes/{name}", name.title(), help="time; minutes in CSV") for name in SHARES),
            Column("minutes/wall", "Wall", help="time of the processes; minutes in CSV"),
            *(
                [Column("price", "Price", help="of a server's answers, by its count of tokens")]
                if priced
                else []
            ),
        ),
        rows=tuple(rows),
    )


def _sweep(sweep: Sweep, several: bool) -> Iterator[Cost]:
    prefix = f"{sweep.name}: " if several else ""
    paid = _launches(sweep)
    frames = [frame for frame in sweep.trials.values() if not frame.empty]
    if frames:
        seconds = [trial.seconds for trial in sweep.rows()]
        yield _all_launches(_training(f"{prefix}trials", frames, sum(seconds) or None), paid, "trials/")
    fresh = [run.metrics for runs in sweep.confirm.values() for run in runs if not run.metrics.empty]
    if fresh:
        yield _all_launches(_training(f"{prefix}fresh seeds", fresh), paid, "confirm/")


def _launches(sweep: Sweep) -> Sequence[LaunchCost]:
    """What the sweep's ledger.json says of each launch; nothing where it is not at its end."""
    found = read_file(sweep.folder / LEDGER, SweepLedger, [])
    return () if found is None else found.launches


def _all_launches(cost: Cost, paid: Sequence[LaunchCost], where: str) -> Cost:
    """``cost`` with the tokens and FLOPs of every launch in ``where``, lost work included."""
    own = [launch for launch in paid if launch.job.startswith(where)]
    if not own:
        return cost
    flops = sum(launch.flops for launch in own if not math.isnan(launch.flops))
    return replace(cost, tokens=float(sum(launch.tokens for launch in own)), flops=flops or None)


def _run(run: Training) -> Iterator[Cost]:
    """A run's training, and what its data sets of sampled answers took."""
    paid = [s.price for s in _stages(run) if s.price is not None and s.kind != "reject"]
    yield replace(_training(run.label, [run.metrics]), price=sum(paid) if paid else None)
    for stage in sampled_stages(run):
        what = "teacher's answers" if stage.teacher else "sampled answers"
        known = None if math.isnan(stage.flops) else stage.flops
        seconds = {"rollout": stage.device_seconds}
        yield Cost(f"{run.label}: {what}", None, None, float(stage.tokens), known, seconds, None, stage.price)


def sampled_stages(run: Training) -> list[StageCost]:
    """The stages in a run's ledger.json that sampled a data set."""
    return [stage for stage in _stages(run) if stage.kind == "reject" and stage.tokens]


def _stages(run: Training) -> Sequence[StageCost]:
    found = read_file(run.folder / LEDGER, RunLedger, [])
    return () if found is None else found.stages


def _training(part: str, frames: Sequence[pd.DataFrame], wall: float | None = None) -> Cost:
    seconds = {name: _sum(frames, f"seconds/{name}") for name in SHARES}
    known = {name: value for name, value in seconds.items() if value is not None}
    if wall is None:
        spans = [frame["time"].max() - frame["time"].min() for frame in frames if "time" in frame]
        wall = float(sum(spans)) or None
    steps = sum(int((frame["step"] > 0).sum()) for frame in frames)
    parts = [value for name in FLOPS if (value := _sum(frames, name)) is not None]
    return Cost(part, len(frames), steps, _sum(frames, "tokens"), sum(parts) or None, known, wall)


def _evaluations(study: Study) -> Iterator[Cost]:
    models = study.models()
    several = len(models) > MOST_MODELS
    for part in [models] if several else [[model] for model in models]:
        own = [evaluation for evaluation in study.evaluations if evaluation.model in part]
        name = f"{len(models)} models" if several else part[0]
        totals = [each.lengths["total"] for each in own if each.lengths is not None]
        prices = [bill["total"] for each in own if (bill := each.scores.get("cost"))]
        tokens, price = sum(totals) if totals else None, sum(prices) if prices else None
        yield Cost(f"evaluation of {name}", None, None, tokens, None, {}, None, price)
        judged = [took for each in own if (took := each.scores.get("judge_cost"))]
        if judged:
            paid = [took["total"] for took in judged if "total" in took]
            written = float(sum(took["response_tokens"] for took in judged))
            yield Cost(f"{JUDGE_OF}{name}", None, None, written, None, {}, None, sum(paid) if paid else None)


def _sum(frames: Sequence[pd.DataFrame], column: str) -> float | None:
    """The sum of a column over all frames; None where none has it."""
    found = [float(frame[column].sum()) for frame in frames if column in frame]
    return sum(found) if found else None


def _total(found: Sequence[Cost]) -> Cost:
    def add(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if known else None

    seconds = {name: add([cost.seconds.get(name) for cost in found]) for name in SHARES}
    steps = add([cost.steps for cost in found])
    return Cost(
        "in all",
        None,
        None if steps is None else int(steps),
        add([cost.tokens for cost in found]),
        add([cost.flops for cost in found]),
        {name: value for name, value in seconds.items() if value is not None},
        add([cost.wall for cost in found]),
        add([cost.price for cost in found]),
    )


def _row(cost: Cost, priced: bool, strong: bool = False) -> tuple[Cell, ...]:
    return (
        Cell(cost.part, strong=strong),
        count(cost.runs),
        count(cost.steps),
        count(cost.tokens),
        number(None if cost.flops is None else cost.flops / 1e12, 2),
        *(_minutes(cost.seconds.get(name)) for name in SHARES),
        _minutes(cost.wall),
        *([number(cost.price, 4)] if priced else []),
    )


def _minutes(seconds: float | None) -> Cell:
    """A time as people read it, "42 s" or "7 min", over the minutes that CSV has."""
    return Cell("–") if seconds is None else Cell(duration(seconds), seconds / 60)
