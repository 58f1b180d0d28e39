"""What is on disk, as plain data: sweeps, training runs and evaluations found in folders.

Nothing here raises for what a folder holds. Whatever is no run, is still going, or is half-written becomes
one sentence in ``Study.problems``, and the rest is collected all the same.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from evals.metrics import QuestionStats
from evals.scores import read_scores
from evals.tasks.task import TaskError
from reports import samples
from reports.samples import Index
from reports.svg import slug

MOST_TRIALS = 60
"""Lines or bars in a chart of trials."""


@dataclass(frozen=True)
class Evaluation:
    """One model on one benchmark. Models of one ``group`` differ by their training seed alone.

    ``scores`` is scores.json as it stands; ``questions`` are its statistics per question by id; ``samples``
    is None where the samples were not kept.
    """

    model: str
    group: str
    benchmark: str
    folder: Path
    scores: Mapping[str, Any]
    questions: Mapping[str, QuestionStats]
    samples: Index | None

    @property
    def value(self) -> float:
        """pass@1 of scores.json; NaN where it is missing."""
        return float((self.scores.get("pass@1") or {}).get("value", math.nan))

    @property
    def protocol(self) -> Mapping[str, Any]:
        """How it was sampled, without what two comparable evaluations may differ in (count and seed)."""
        recorded = self.scores.get("protocol") or {}
        return {key: value for key, value in recorded.items() if key not in ("samples", "seed", "name")}


@dataclass(frozen=True)
class Training:
    """One run folder. ``metrics`` has a row per line of metrics.jsonl; ``state`` as in status.json.

    Runs of one ``group`` differ by their training seed alone.
    """

    label: str
    group: str
    folder: Path
    metrics: pd.DataFrame
    state: str
    reason: str
    experiment: Mapping[str, Any]
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Sweep:
    """One sweep folder: its summary.json, what each trial logged, and the best trials' fresh seeds.

    ``key`` is its name made fit for ids and file names, different from every other sweep's.
    """

    key: str
    folder: Path
    summary: Mapping[str, Any]
    experiment: Mapping[str, Any]
    manifest: Mapping[str, Any]
    state: str
    trials: Mapping[int, pd.DataFrame]
    confirm: Mapping[int, Sequence[Training]]

    @property
    def name(self) -> str:
        return str(self.summary.get("name") or self.folder.name)

    @property
    def objective(self) -> str:
        return str(self.summary.get("objective") or "objective")

    @property
    def winner(self) -> Mapping[str, Any] | None:
        return self.summary.get("winner") or None

    @property
    def candidate(self) -> Mapping[str, Any] | None:
        """The best trial, believed (``winner``) or not."""
        found = self.winner or (self.summary.get("selection") or {}).get("candidate")
        return found or None

    @property
    def other_objectives(self) -> Mapping[str, str]:
        """Objectives besides the first, by which the winner is chosen: metric -> direction."""
        found = dict(self.summary.get("objectives") or {})
        found.pop(self.objective, None)
        return found

    @property
    def watched(self) -> list[str]:
        """Further objectives and constrained metrics."""
        return list(dict.fromkeys([*self.other_objectives, *(self.summary.get("constraints") or {})]))

    @property
    def fresh(self) -> list[Training]:
        """The runs of the candidate's settings with fresh seeds."""
        return list(self.confirm.get((self.candidate or {}).get("trial", -1), []))

    @property
    def confirm_steps(self) -> int | None:
        """The steps of the runs with fresh seeds, where these are not the trials' own."""
        steps = (self.experiment.get("sweep") or {}).get("confirm_steps")
        stages = self.experiment.get("stages") or [{}]
        return None if steps in (None, stages[-1].get("steps")) else int(steps)

    @property
    def space(self) -> Mapping[str, Any]:
        """``[sweep.space]`` of the experiment: setting -> choices, or a table with low, high, log."""
        found: Mapping[str, Any] = (self.experiment.get("sweep") or {}).get("space") or {}
        return found

    def rows(self) -> list[Mapping[str, Any]]:
        """The trials of the summary, by number."""
        return sorted(self.summary.get("trials") or [], key=lambda trial: int(trial["number"]))

    def shown(self) -> list[Mapping[str, Any]]:
        """The trials that a chart has room for: all, or the best ``MOST_TRIALS``, by number."""
        sign = -1 if self.summary.get("direction") == "minimize" else 1

        def badness(trial: Mapping[str, Any]) -> float:
            return math.inf if trial.get("value") is None else -sign * float(trial["value"])

        best = sorted(self.rows(), key=badness)[:MOST_TRIALS]
        return sorted(best, key=lambda trial: int(trial["number"]))


@dataclass
class Study:
    """Everything that one report is about."""

    sweeps: list[Sweep] = field(default_factory=list)
    runs: list[Training] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    arms: list[str] = field(default_factory=list)
    """The names of experiments that compare arms."""

    @property
    def title(self) -> str:
        names = self.arms + [sweep.name for sweep in self.sweeps] or [run.label for run in self.runs]
        return " · ".join(dict.fromkeys(names or [e.model for e in self.evaluations])) or "Nothing to report"

    @property
    def empty(self) -> bool:
        """Whether there is nothing to report."""
        return not (self.sweeps or self.runs or self.evaluations)

    def sources(self) -> list[Sweep | Training]:
        """What has a manifest: the sweeps, then the runs."""
        return [*self.sweeps, *self.runs]

    def benchmarks(self) -> list[str]:
        """In the order of the experiment that asked for them, then of first appearance."""
        asked = [name for one in self.sources() for name in _asked(one.experiment)]
        found = dict.fromkeys(evaluation.benchmark for evaluation in self.evaluations)
        return [
            *(name for name in dict.fromkeys(asked) if name in found),
            *(n for n in found if n not in asked),
        ]

    def models(self) -> list[str]:
        """In order of first appearance."""
        return list(dict.fromkeys(evaluation.model for evaluation in self.evaluations))


def _asked(experiment: Mapping[str, Any]) -> list[str]:
    return [str(name) for name in (experiment.get("eval") or {}).get("benchmarks") or []]


def collect(folders: Sequence[Path]) -> Study:
    """Reads sweep, run and evaluation folders, in the order given."""
    study = Study()
    for folder in folders:
        several = len(folders) > 1
        if not folder.is_dir():
            study.problems.append(f"{folder}: no such folder.")
        elif (
            (folder / "summary.json").exists()
            or (folder / "trials").is_dir()
            or (folder / "study.db").exists()
        ):
            _collect_sweep(folder, study, several)
        elif (folder / "arms").is_dir():
            _collect_arms(folder, study, several)
        elif any((folder / name).exists() for name in ("metrics.jsonl", "status.json")):
            _collect_run(folder, study, several)
        elif _benchmark_folders(folder):
            _collect_evaluations(folder, study, folder.name, folder.name)
        else:
            study.problems.append(f"{folder}: holds neither a sweep, a run nor an evaluation.")
    return study


def _collect_sweep(folder: Path, study: Study, several: bool) -> None:
    summary = _read_json(folder / "summary.json", study)
    manifest = _read_json(folder / "manifest.json", study)
    status = _read_json(folder / "status.json", study)
    trials = {}
    for trial in sorted((folder / "trials").glob("*"), key=lambda path: path.name.zfill(9)):
        if trial.name.isdecimal():
            trials[int(trial.name)] = _attempts(trial, study)
    confirm = {
        int(trial.name.removeprefix("trial-")): [
            _training(_last_attempt(run), f"seed {run.name.removeprefix('seed-')}", study)
            for run in sorted(trial.glob("seed-*"), key=lambda path: path.name.zfill(20))
        ]
        for trial in (folder / "confirm").glob("trial-*")
    }
    state = _sweep_state(summary, status)
    if not summary:
        study.problems.append(f"{folder}: no summary.json yet, so its trials are not tabulated.")
    if state == "running":
        study.problems.append(f"{folder}: this sweep has not finished; what it has so far is shown.")
    elif state == "failed":
        study.problems.append(f"{folder}: this sweep failed: {status.get('reason') or 'no reason recorded'}.")
    experiment = _read_toml(folder / "experiment.toml", study)
    key = slug(str(summary.get("name") or folder.name))
    while any(other.key == key for other in study.sweeps):
        key = f"{key}-{len(study.sweeps) + 1}"
    sweep = Sweep(key, folder, summary, experiment, manifest, state, trials, confirm)
    study.sweeps.append(sweep)
    prefix = f"{sweep.name}: " if several else ""
    recorded = summary.get("evals") or {}
    known = [("base", str(recorded["base"]))] if recorded.get("base") else []
    known += [("winner", str(path)) for path in recorded.get("winner") or []]
    for path in sorted((folder / "evals").glob("*")) if not known else []:
        known.append((path.name.partition("-seed-")[0], f"evals/{path.name}"))
    for group, where in known:
        seed = Path(where).name.partition("-seed-")[2]
        label = f"{group}, seed {seed}" if seed else group
        if not (folder / where).is_dir():
            if _asked(experiment):
                study.problems.append(f"{folder}: {label} has not been evaluated.")
            continue
        _collect_evaluations(folder / where, study, prefix + label, prefix + group)


def _collect_arms(folder: Path, study: Study, several: bool) -> None:
    """The untrained policy and every arm's seeds, as far as they are there; tuning runs are left out."""
    prefix = f"{folder.name}: " if several else ""
    if not (folder / "arms.json").exists():
        study.problems.append(f"{folder}: this comparison has not finished; what it has so far is shown.")
    for base in sorted((folder / "evals").glob("*base")):
        if _benchmark_folders(base):
            _collect_evaluations(base, study, prefix + base.name, prefix + base.name)
    asked = _read_toml(folder / "experiment.toml", study)
    study.arms.append(str(asked.get("name") or folder.name))
    arms = list(((asked.get("compare") or {}).get("arms")) or {})
    for arm in arms or sorted(path.name for path in (folder / "arms").iterdir()):
        seeds = sorted((folder / "arms" / arm).glob("seed-*"), key=lambda path: path.name.zfill(20))
        for job in seeds:
            label = f"{prefix}{arm}, seed {job.name.removeprefix('seed-')}"
            run = _training(_last_attempt(job), label, study, f"{prefix}{arm}")
            study.runs.append(run)
            if _benchmark_folders(run.folder / "evals" / "final"):
                _collect_evaluations(run.folder / "evals" / "final", study, label, f"{prefix}{arm}")


def _sweep_state(summary: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """The recorded state, where none is recorded: done once something was selected."""
    if status.get("state"):
        return str(status["state"])
    candidate = (summary.get("selection") or {}).get("candidate")
    return "done" if candidate or summary.get("winner") else "running"


def _attempts(trial: Path, study: Study) -> pd.DataFrame:
    """The metrics of a trial's attempts in order; a step that several logged counts as the last did."""
    attempts = sorted(trial.glob("attempt-*"), key=lambda path: path.name.zfill(20))
    frames = [_metrics(attempt / "metrics.jsonl", study) for attempt in attempts]
    frames = [frame for frame in frames if not frame.empty]
    if not frames:
        return pd.DataFrame()
    return pd.concat(frames).drop_duplicates(["stage", "step"], keep="last").sort_values("step")


def _last_attempt(folder: Path) -> Path:
    """The run folder of the newest attempt; the folder itself where it is a run."""
    attempts = sorted(folder.glob("attempt-*"), key=lambda path: path.name.zfill(20))
    return attempts[-1] if attempts else folder


def _collect_run(folder: Path, study: Study, several: bool) -> None:
    run = _training(folder, folder.name, study)
    study.runs.append(run)
    if run.state == "running":
        study.problems.append(f"{folder}: this run has not finished; what it has so far is shown.")
    elif run.state == "failed":
        study.problems.append(f"{folder}: this run failed: {run.reason or 'no reason recorded'}.")
    if run.metrics.empty:
        study.problems.append(f"{folder}: metrics.jsonl holds no line yet.")
    prefix = f"{folder.name}: " if several else ""
    if _benchmark_folders(folder / "evals"):
        _collect_evaluations(folder / "evals", study, folder.name, folder.name)
    named = [path for path in sorted((folder / "evals").glob("*")) if _benchmark_folders(path)]
    for path in named:
        label = folder.name if [one.name for one in named] == ["final"] else prefix + path.name
        _collect_evaluations(path, study, label, label)


def _training(folder: Path, label: str, study: Study, group: str = "") -> Training:
    status = _read_json(folder / "status.json", study)
    return Training(
        label=label,
        group=group or label,
        folder=folder,
        metrics=_metrics(folder / "metrics.jsonl", study),
        state=str(status.get("state") or "running"),
        reason=str(status.get("reason") or ""),
        experiment=_read_toml(folder / "experiment.toml", study),
        manifest=_read_json(folder / "manifest.json", study),
    )


def _benchmark_folders(folder: Path) -> list[Path]:
    """The folders with scores or samples of one benchmark: ``folder`` itself, or those in it."""
    candidates = [folder, *sorted(folder.glob("*"))] if folder.is_dir() else []
    return [path for path in candidates if (path / "scores.json").exists() or _has_sample_rows(path)]


def _has_sample_rows(folder: Path) -> bool:
    """Whether samples.jsonl is an evaluation's (a run keeps completions under the same name)."""
    path = folder / "samples.jsonl"
    if not path.exists() or (folder / "metrics.jsonl").exists() or (folder / "experiment.toml").exists():
        return False
    return path.stat().st_size > 0


def _collect_evaluations(folder: Path, study: Study, model: str, group: str) -> None:
    found = _benchmark_folders(folder)
    if not found:
        study.problems.append(f"{folder}: no evaluation is recorded here.")
    for path in found:
        scores = _read_json(path / "scores.json", study)
        if not scores:
            study.problems.append(
                f"{path}: no scores.json, so this evaluation is unfinished and is left out."
            )
            continue
        benchmark = str(scores.get("benchmark") or path.name)
        questions = _questions(path / "scores.json", study)
        kept = _index(path / "samples.jsonl", study)
        study.evaluations.append(Evaluation(model, group, benchmark, path, scores, questions, kept))


def _questions(path: Path, study: Study) -> dict[str, QuestionStats]:
    try:
        return {question.id: question for question in read_scores(path).questions}
    except TaskError as error:
        study.problems.append(f"{error}; its questions are not compared.")
        return {}


def _index(path: Path, study: Study) -> Index | None:
    if not path.exists():
        return None
    try:
        found = samples.index(path)
    except OSError as error:
        study.problems.append(f"{path}: cannot be read ({error.strerror}).")
        return None
    if found.damaged:
        study.problems.append(f"{path}: {found.damaged} lines are no samples and were passed over.")
    return found


def _metrics(path: Path, study: Study) -> pd.DataFrame:
    """metrics.jsonl as a table; a line that is not whole (yet) is passed over."""
    rows = list(_json_lines(path))
    frame = pd.DataFrame.from_records(rows)
    if not rows or "step" not in frame or "stage" not in frame:
        return pd.DataFrame()
    numbers = [column for column in frame.columns if column != "stage"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce")
    return frame.dropna(subset=["step"])


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as handle:
        for line in handle:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row


def _read_json(path: Path, study: Study) -> dict[str, Any]:
    return _read(path, study, "JSON object", json.loads)


def _read_toml(path: Path, study: Study) -> dict[str, Any]:
    return _read(path, study, "TOML file", tomllib.loads)


def _read(path: Path, study: Study, what: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    """The table in ``path``; {} where it is not there, and a problem told where it cannot be read."""
    if not path.exists():
        return {}
    try:
        value = parse(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        value = None
    if not isinstance(value, dict):
        study.problems.append(f"{path}: no readable {what} (half-written?), so it is left out.")
        return {}
    return value
