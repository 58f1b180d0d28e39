"""A trained model as a folder for the Hugging Face hub: weights, card, report, samples; no trainer state."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
from huggingface_hub import EvalResult, ModelCardData

from evals.base import io
from evals.base.errors import JobError, UsageError, first_line
from evals.base.secrets import mask
from evals.export.evaluation import Evaluated, find
from evals.task import TaskError
from harness import config
from harness.config import Experiment, read_experiment
from harness.models.policy import load_policy, policy_hash
from harness.models.sources import model_in

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
KINDS = {".json", ".safetensors", ".txt", ".model", ".jinja", ".py"}
"""Files of a checkpoint that make up the model; the optimizer's state is a .pt file."""
LOCAL = "checksums.json"
"""Covers the trainer's state, too, which is not sent."""


def write_folder(run: Path, name: str, out: Path) -> Path:
    """Writes what is sent of ``run``, a run's or a sweep's folder, into the new folder ``out``.

    Scores are those that were measured on the very weights that are sent (by their digest).

    Raises:
        UsageError: ``name`` is not OWNER/NAME, ``out`` exists, or the run has no checkpoint.
    """
    from reports.page import build_report

    if not REPOSITORY.fullmatch(name):
        raise UsageError(f"{name}: not a repository name; expected OWNER/NAME")
    if out.exists():
        raise UsageError(f"{out}: already exists; choose another --out, or delete it")
    if not (run / "experiment.toml").is_file():
        raise UsageError(f"{run}: not the folder of a run or sweep (no experiment.toml)")
    experiment, model = read_experiment([run / "experiment.toml"]), model_in(run)
    evaluations = _of_these_weights(run, model, experiment)
    out.mkdir(parents=True)
    for file in sorted(model.iterdir()):
        if file.suffix in KINDS and file.name != LOCAL:
            shutil.copyfile(file, out / file.name)
    for each in evaluations:
        target = out / "evals" / each.folder.name
        target.mkdir(parents=True)
        for file in (each.folder / "scores.json", each.folder / "samples.jsonl"):
            shutil.copyfile(file, target / file.name)
    io.write_text(out / "experiment.toml", mask((run / "experiment.toml").read_text(encoding="utf-8")))
    build_report([run], out / "report.html")
    io.write_text(out / "README.md", card(name, experiment, evaluations))
    return out


def push(run: Path, name: str, private: bool = False) -> str:
    """Sends ``run`` to the hub, as ``hf auth login`` or HF_TOKEN allow; the address of what was sent.

    Raises:
        UsageError: as ``write_folder``.
        JobError: the hub refuses it or cannot be reached.
    """
    with tempfile.TemporaryDirectory() as aside:
        folder = write_folder(run, name, Path(aside) / "model")
        hub = huggingface_hub.HfApi()
        try:
            address = hub.create_repo(name, private=private, exist_ok=True)
            hub.upload_folder(repo_id=name, folder_path=folder, commit_message="Trained by grpo-harness")
        except Exception as error:  # the client lets its transport's own classes through
            raise JobError(f"{name} was not uploaded: {mask(first_line(error))}") from None
    return str(address)


def _of_these_weights(run: Path, model: Path, experiment: Experiment) -> list[Evaluated]:
    try:
        found = find(run)
    except TaskError:  # nothing was measured, and the card says so
        return []
    settings = config.Policy(model=str(model), dtype=experiment.policy.dtype, device="cpu")
    loaded = load_policy(settings)
    digest = policy_hash(loaded.model, loaded.tokenizer)
    kept = {each.scores.benchmark: each for each in found if each.scores.model == digest}
    return list(kept.values())


def card(name: str, experiment: Experiment, evaluations: Sequence[Evaluated]) -> str:
    """The model card: metadata that the hub reads, and the scores with their 95% intervals as a table."""
    base, data = _base(experiment), list(experiment.data.train)
    metadata = ModelCardData(
        base_model=base if REPOSITORY.fullmatch(base) and not Path(base).exists() else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["grpo-harness", *sorted({stage.kind for stage in experiment.stages})],
        model_name=name.partition("/")[2],
        eval_results=[_result(each) for each in evaluations] or None,
    )
    stages = ", ".join(f"{stage.name} ({stage.kind})" for stage in experiment.stages)
    lines = [
        "---",
        metadata.to_yaml(),
        "---",
        "",
        f"# {name.partition('/')[2]}",
        "",
        f"Trained by grpo-harness from {_code(base)}: {stages or 'arms of a comparison'}.",
        "",
        f"Training questions: {', '.join(map(_code, data)) or 'see experiment.toml'}.",
        "",
        "## Scores",
        "",
        *(_table(evaluations) if evaluations else ["Not measured."]),
        "",
        "experiment.toml has every setting, report.html the curves and comparisons, evals/ every graded "
        "sample.",
    ]
    return mask("\n".join(lines)) + "\n"


def _base(experiment: Experiment) -> str:
    """The model that training began with; of a folder of this machine its name alone."""
    model = experiment.policy.model
    return Path(model).name if Path(model).expanduser().exists() else model


def _result(each: Evaluated) -> EvalResult:
    return EvalResult(
        task_type="text-generation",
        dataset_type=each.scores.benchmark,
        dataset_name=each.scores.benchmark,
        metric_type="pass@1",
        metric_name="win rate" if each.scores.compared else "pass@1",
        metric_value=round(100 * each.scores.pass_at_1().value, 2),
    )


def _table(evaluations: Sequence[Evaluated]) -> list[str]:
    lines = [
        "| benchmark | questions | samples per question | pass@1 | 95% interval |",
        "|---|---:|---:|---:|---:|",
    ]
    for each in evaluations:
        found, samples = each.scores.pass_at_1(), each.scores.samples
        told = str(samples[0]) if samples[0] == samples[1] else f"{samples[0]} to {samples[1]}"
        rates = " | ".join(f"{100 * rate:.1f}%" for rate in (found.value, found.low))
        name, asked = _code(each.scores.benchmark), len(each.scores.questions)
        lines.append(f"| {name} | {asked} | {told} | {rates} to {100 * found.high:.1f}% |")
    return lines


def _code(text: str) -> str:
    """Text of a file as code in Markdown, on one line and inside one cell."""
    plain = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{plain}`"
