"""What is on disk, found in folders: sweeps, training runs and evaluations.

Nothing here raises for what a folder holds. Whatever is no run, is still going, or is half-written becomes
one sentence in ``Study.problems``, and the rest is collected all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from evals import formats
from evals.base.errors import UsageError, first_line
from evals.base.text import printable
from evals.scores import Scores, read_scores
from evals.stats.tables import ScoresTable
from evals.task import TaskError
from harness.sweep.summary import SUMMARY, Summary
from harness.train.manifest import MANIFEST, Manifest
from harness.train.status import STATUS, Status
from reports.arms import ARMS, CONTROLS, Arms, WinnerControls
from reports.figures.svg import slug
from reports.kinds import is_comparison, is_sweep
from reports.probes import PROBE, Probe
from reports.reading import job_metrics, launches, read_file, read_json, read_metrics, read_toml
from reports.samples import records as samples
from reports.samples.records import Index
from reports.study import ArmsFolder, Evaluation, Role, Study, Sweep, Training, asked_benchmarks
from reports.suites import RECORD, read_suite

SCORED = ("scores.json", RECORD)
"""Files that say what a benchmark came to."""
log = logging.getLogger(__name__)


def collect(folders: Sequence[Path]) -> Study:
    """Reads sweep, run and evaluation folders, in the order given."""
    study = Study(folders=tuple(folders))
    for folder, name in zip(folders, _names(folders), strict=True):
        try:
            _collect_folder(folder, name, study, several=len(folders) > 1)
        except Exception as error:  # whatever is on disk: it costs what follows of its folder, never the page
            log.debug("%s", folder, exc_info=error)
            study.problems.append(f"{folder}: only a part of it could be read: {first_line(error)}.")
    return study


def _names(folders: Sequence[Path]) -> list[str]:
    """What each folder is called: its name, with as many of those above it as tell it apart from others."""
    found = {folder: folder.absolute().parts for folder in folders}

    def name(folder: Path) -> str:
        parts = found[folder]
        others = [other for other in found.values() if other != parts]
        for length in range(1, len(parts)):
            if not any(other[-length:] == parts[-length:] for other in others):
                return "/".join(parts[-length:])
        return str(folder)

    return [name(folder) for folder in folders]


def _collect_folder(folder: Path, name: str, study: Study, several: bool) -> None:
    if not folder.is_dir():
        study.problems.append(_foreign([folder]) or f"{folder}: {_no_folder(folder)}.")
    elif is_sweep(folder):
        _collect_sweep(folder, name, study, several)
    elif is_comparison(folder):
        _collect_arms(folder, name, study, several)
    elif any((folder / name).exists() for name in ("metrics.jsonl", "status.json")):
        _collect_run(folder, name, study, several)
    elif (folder / PROBE).exists():
        found = read_file(folder / PROBE, Probe, study.problems)
        study.probes += [(name, found)] if found else []
    elif _benchmark_folders(folder):
        _collect_evaluations(folder, study, name, name)
    else:
        held = sorted(path for path in folder.iterdir() if path.is_file())
        told = _foreign(held) or f"{folder}: contains neither a sweep, a run nor an evaluation."
        study.problems.append(told)


def _no_folder(path: Path) -> str:
    if not path.exists():
        return "no such folder"
    return (
        f"is a file of no format that is read; {formats.RENAME}, and `harness score {path} --benchmark NAME "
        "--out DIR` grades it for a report"
    )


def _foreign(files: Sequence[Path]) -> str:
    """What to do about a file of another program among ``files``; "" where there is none."""
    for path in files:
        try:
            found = formats.recognise(path)
        except TaskError:
            continue
        if found is not None:
            return (
                f"{path}: is {found[0].name}; `harness score {path} --benchmark NAME --out DIR` grades it, "
                "and DIR can be reported."
            )
    return ""


def _collect_sweep(folder: Path, name: str, study: Study, several: bool) -> None:
    summary = read_file(folder / SUMMARY, Summary, study.problems)
    manifest = read_file(folder / MANIFEST, Manifest, study.problems)
    status = read_file(folder / STATUS, Status, study.problems)
    trials = {}
    for trial in sorted((folder / "trials").glob("*"), key=lambda path: path.name.zfill(9)):
        if trial.name.isdecimal():
            trials[int(trial.name)] = job_metrics(trial, study.problems)
    confirm = {
        int(trial.name.removeprefix("trial-")): [
            _training(_last_attempt(run), f"seed {run.name.removeprefix('seed-')}", study)
            for run in sorted(trial.glob("seed-*"), key=lambda path: path.name.zfill(20))
        ]
        for trial in (folder / "confirm").glob("trial-*")
    }
    if summary is None:
        study.problems.append(f"{folder}: no summary.json yet, so its trials are not tabulated.")
        summary = Summary()
    state = _sweep_state(summary, status)
    if state == "running":
        study.problems.append(f"{folder}: this sweep has not finished; what it has so far is shown.")
    elif state == "failed":
        reason = (status.reason if status else "") or "no reason recorded"
        study.problems.append(f"{folder}: this sweep failed: {reason}.")
    experiment = read_toml(folder / "experiment.toml", study.problems)
    key = slug(summary.name or folder.name)
    while any(other.key == key for other in study.sweeps):
        key = f"{key}-{len(study.sweeps) + 1}"
    sweep = Sweep(key, folder, summary, experiment, manifest, state, trials, confirm)
    study.sweeps.append(sweep)
    controls = read_file(folder / CONTROLS, WinnerControls, study.problems)
    study.controls += controls.controls if controls else ()
    same = sum(other.name == sweep.name for other in study.sweeps) > 1
    prefix = f"{name if same else sweep.name}: " if several else ""
    known = [("base", summary.evals.base)] if summary.evals.base else []
    known += [("winner", path) for path in summary.evals.winner]
    known += [("unconfirmed", path) for path in summary.evals.unconfirmed]
    for path in sorted((folder / "evals").glob("*")) if not known else []:
        known.append((path.name.partition("-seed-")[0], f"evals/{path.name}"))
    for group, where in known:
        seed = Path(where).name.partition("-seed-")[2]
        label = f"{group}, seed {seed}" if seed else group
        if not (folder / where).is_dir():
            if asked_benchmarks(experiment):
                study.problems.append(f"{folder}: {label} has not been evaluated.")
            continue
        role: Role = "base" if group == "base" else "trained"
        _collect_evaluations(folder / where, study, prefix + label, prefix + group, role)


def _collect_arms(folder: Path, name: str, study: Study, several: bool) -> None:
    """The untrained policy and every arm's seeds, as far as they are there; tuning runs are left out."""
    prefix = f"{name}: " if several else ""
    if not (folder / ARMS).exists():
        study.problems.append(f"{folder}: this comparison has not finished; what it has so far is shown.")
    for base in sorted((folder / "evals").glob("*")):  # untrained policies and nothing else
        if _benchmark_folders(base):
            _collect_evaluations(base, study, prefix + base.name, prefix + base.name, "base")
    asked = read_toml(folder / "experiment.toml", study.problems)
    manifest = read_file(folder / MANIFEST, Manifest, study.problems)
    study.arms.append(ArmsFolder(str(asked.get("name") or folder.name), folder, asked, manifest))
    arms = list(((asked.get("compare") or {}).get("arms")) or {})
    for arm in arms or sorted(path.name for path in (folder / "arms").iterdir()):
        seeds = sorted((folder / "arms" / arm).glob("seed-*"), key=lambda path: path.name.zfill(20))
        for job in seeds:
            label = f"{prefix}{arm}, seed {job.name.removeprefix('seed-')}"
            run = _training(_last_attempt(job), label, study, f"{prefix}{arm}")
            study.runs.append(run)
            if _benchmark_folders(run.folder / "evals" / "final"):
                _collect_evaluations(
                    run.folder / "evals" / "final", study, label, f"{prefix}{arm}", "trained"
                )
    if (folder / ARMS).exists():
        told = read_file(folder / ARMS, Arms, study.problems)
        study.controls += told.controls if told else ()


def _sweep_state(summary: Summary, status: Status | None) -> str:
    """The recorded state, where none is recorded: done once something was selected."""
    if status is not None:
        return status.state
    return "done" if summary.winner or summary.selection.candidate else "running"


def _last_attempt(folder: Path) -> Path:
    """The run folder of the newest attempt; the folder itself where it is a run."""
    return [folder, *launches(folder)][-1]


def _collect_run(folder: Path, name: str, study: Study, several: bool) -> None:
    run = _training(folder, name, study)
    study.runs.append(run)
    if run.state == "running":
        study.problems.append(f"{folder}: this run has not finished; what it has so far is shown.")
    elif run.state == "failed":
        study.problems.append(f"{folder}: this run failed: {run.reason or 'no reason recorded'}.")
    if run.metrics.empty:
        study.problems.append(f"{folder}: metrics.jsonl contains no line yet.")
    prefix = f"{name}: " if several else ""
    if _benchmark_folders(folder / "evals"):
        _collect_evaluations(folder / "evals", study, name, name, "trained")
    named = [path for path in sorted((folder / "evals").glob("*")) if _benchmark_folders(path)]
    for path in named:
        label = name if [one.name for one in named] == ["final"] else prefix + path.name
        _collect_evaluations(path, study, label, label, "base" if path.name == "base" else "trained")


def _training(folder: Path, label: str, study: Study, group: str = "") -> Training:
    status = read_file(folder / STATUS, Status, study.problems)
    return Training(
        label=label,
        group=group or label,
        folder=folder,
        metrics=read_metrics(folder / "metrics.jsonl", study.problems),
        state="running" if status is None else status.state,
        reason="" if status is None else status.reason,
        experiment=read_toml(folder / "experiment.toml", study.problems),
        manifest=read_file(folder / MANIFEST, Manifest, study.problems),
    )


def _benchmark_folders(folder: Path) -> list[Path]:
    """The folders with scores or samples of one benchmark: ``folder`` itself, or those in it."""
    candidates = [folder, *sorted(folder.glob("*"))] if folder.is_dir() else []
    return [
        path
        for path in candidates
        if any((path / name).exists() for name in SCORED) or _has_sample_rows(path)
    ]


def _has_sample_rows(folder: Path) -> bool:
    """Whether samples.jsonl is an evaluation's (a run keeps completions under the same name)."""
    path = folder / "samples.jsonl"
    if not path.exists() or (folder / "metrics.jsonl").exists() or (folder / "experiment.toml").exists():
        return False
    return path.stat().st_size > 0


def _collect_evaluations(folder: Path, study: Study, model: str, group: str, role: Role = "measured") -> None:
    """The evaluations in ``folder``; where two are of one benchmark, each goes by its folder's name."""
    model, group = printable(model), printable(group)
    found = _benchmark_folders(folder)
    if not found:
        study.problems.append(f"{folder}: no evaluation is recorded here.")
    read: list[tuple[str, Path, ScoresTable]] = []
    for path in found:
        scores = cast("ScoresTable", read_json(path / "scores.json", study.problems))
        if (path / RECORD).exists():
            try:
                study.suites.append(read_suite(path, model))
            except ValueError as error:
                study.problems.append(str(error))
            if not scores:
                continue  # nothing in it is right or wrong
        if scores:
            read.append((printable(str(scores.get("benchmark") or path.name)), path, scores))
        else:
            study.problems.append(
                f"{path}: no scores.json, so this evaluation is unfinished and is left out."
            )
    repeated = _repeated(read)
    for benchmark, paths in repeated.items():
        names = " and ".join(path.name for path in paths)
        study.problems.append(f"{folder}: {names} are all of {benchmark}; they are shown apart.")
    for benchmark, path, scores in read:
        apart = f": {path.name}" if benchmark in repeated else ""
        measured = replace(_measured(path / "scores.json", scores, study), benchmark=benchmark)
        kept = _index(path / "samples.jsonl", study)
        study.evaluations.append(
            Evaluation(model + apart, group + apart, benchmark, path, scores, measured, kept, role)
        )


def _repeated(read: Sequence[tuple[str, Path, ScoresTable]]) -> dict[str, list[Path]]:
    """The benchmarks of which there are several evaluations, with their folders."""
    places: dict[str, list[Path]] = {}
    for benchmark, path, _ in read:
        places.setdefault(benchmark, []).append(path)
    return {benchmark: paths for benchmark, paths in places.items() if len(paths) > 1}


def _measured(path: Path, table: ScoresTable, study: Study) -> Scores:
    try:
        return read_scores(path)
    except UsageError as error:
        study.problems.append(f"{error}; its questions are not compared.")
        hashed = str(table.get("data_hash") or "")
        return Scores("", (), "", protocol=table.get("protocol"), data_hash=hashed, judge=table.get("judge"))


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
